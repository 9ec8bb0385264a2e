"""One stream's window: its segmentation, and which record it has reached."""

from __future__ import annotations

import struct
import zlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.errors import StateDamaged, StateError
from streamer.fleet.record import RecordRefused
from streamer.pipeline.segmentation import StreamSegmentation
from streamer.saved import is_sealed, seal, unseal

if TYPE_CHECKING:
    from streamer.config.sections import SegmentSection
    from streamer.events.payload import EventData
    from streamer.fleet.record import ShotRecord
    from streamer.models.mixture import Moae

RECENT: Final = 64
"""Shots by which one that was written twice is told from one that jumps back."""

_PLACE: Final = "the saved window"
# Of version 0.1.0: 1, and the length of what `_Saved` holds.
_FIRST: Final = struct.Struct("<HI")

Step = Literal["repeat", "next", "behind", "anew"]

Count = Annotated[int, Field(ge=0)]


class _Saved(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    offset: int
    sequence: Count
    epoch: int
    index: int
    ended: bool
    recent: Annotated[tuple[tuple[Count, int, Count], ...], Field(max_length=RECENT)]


@dataclass(frozen=True, slots=True)
class Mixture:
    """What every window of a worker has in common.

    Attributes:
        model: Experts and mixer.
        settings: Threshold and look-ahead.
    """

    model: Moae
    settings: SegmentSection


class StreamWindow:
    """Follows one stream's records, each exactly once however often it comes.

    Args:
        stream: Its name.
        mixture: Who decides.
    """

    def __init__(self, stream: str, mixture: Mixture) -> None:
        self.stream = stream
        self._mixture = mixture
        self.segmentation = StreamSegmentation(
            stream,
            mixture.model,
            threshold=mixture.settings.threshold,
            lookahead=mixture.settings.lookahead,
        )
        self.offset = -1
        self.sequence = 0
        self.epoch, self.index = -1, -1
        self.ended = False
        self.unsaved = 0
        self.saved = False
        self._recent: deque[tuple[int, int, int]] = deque(maxlen=RECENT)

    def judge(self, record: ShotRecord, offset: int) -> Step:
        """Says what a record is to this window.

        Args:
            record: Of this stream.
            offset: Where it lies in the partition.

        Returns:
            ``repeat``: known already; ``next``: to be taken; ``behind``: this window lacks some
            records before it; ``anew``: the stream begins again, its records forgotten.

        Raises:
            RecordRefused: It is none of these and never will be.
        """
        if offset <= self.offset or _mark(record) in self._recent:
            return "repeat"
        number, index = record.epoch.number, _index(record)
        if number < self.epoch:
            raise RecordRefused("stale-epoch", f"epoch {number} after epoch {self.epoch}")
        if record.sequence == 0 and number > self.epoch >= 0:
            return "anew"
        if record.sequence > self.sequence:
            return "behind"
        if number > self.epoch:
            # Whoever read the stream before wrote more than the next one had seen.
            return "next"
        if number == self.epoch and (self.ended or index not in {None, self.index + 1}):
            raise RecordRefused("jumps-back", f"shot {index} after shot {self.index}")
        if record.sequence < self.sequence:
            raise RecordRefused("jumps-back", f"record {record.sequence} after {self.sequence - 1}")
        return "next"

    def restart(self, record: ShotRecord) -> list[EventData]:
        """Begins anew at a record: those before it are lost for good.

        Returns:
            What could still be decided about the shots before.
        """
        events = [] if self.ended else self.segmentation.finish()
        self.segmentation = StreamSegmentation(
            self.stream,
            self._mixture.model,
            threshold=self._mixture.settings.threshold,
            lookahead=self._mixture.settings.lookahead,
        )
        self.sequence, self.epoch, self.index = record.sequence, -1, -1
        self.ended = False
        return events

    def prepare(self, record: ShotRecord, offset: int) -> list[EventData]:
        """Begins the record's epoch when that is a new one, and takes its shot; or ends the stream.

        A shot's decisions come of the segmenter, which may run many streams in one batch; then
        `took` has to be called.

        Raises:
            CheckpointError: Its tokens do not fit the checkpoint.
            ValueError: It cannot follow, or its numbers are impossible.
            ArithmeticError: Its numbers are too large. The window is as it was, each time.
        """
        new = record.epoch.number != self.epoch
        if new and self.ended:
            self.restart(record)
        segmentation = self.segmentation
        with segmentation.whole():
            events = segmentation.begin(record.epoch) if new else []
            if record.shot is not None:
                shot = segmentation.take(record.shot, record.wallclock, record.arrival)
                return [*events, shot]
        if not self.ended:
            events = events + segmentation.finish()
        self.took(record, offset)
        return events

    def took(self, record: ShotRecord, offset: int) -> None:
        """Notes that a record is part of the window now."""
        index = _index(record)
        self.offset, self.sequence = offset, record.sequence + 1
        self.epoch = record.epoch.number
        self.index = self.index if index is None else index
        self.ended = record.shot is None
        self.unsaved += 1
        self._recent.append(_mark(record))

    def save(self) -> bytes:
        """Everything needed to go on elsewhere; bounded."""
        saved = _Saved(
            offset=self.offset,
            sequence=self.sequence,
            epoch=self.epoch,
            index=self.index,
            ended=self.ended,
            recent=tuple(self._recent),
        )
        # Of a stream that has ended only its end matters.
        state = b"" if self.ended else self.segmentation.state()
        self.unsaved, self.saved = 0, True
        return seal("window", saved.model_dump_json(), state)

    def load(self, saved: bytes) -> None:
        """Goes on where `save` was; a window that could not is unchanged.

        Raises:
            StateError: It is damaged, or of another version, checkpoint or look-ahead.
        """
        about, state = _read(saved)
        if not about.ended:
            self.segmentation.restore(state)
        self.offset, self.sequence = about.offset, about.sequence
        self.epoch, self.index, self.ended = about.epoch, about.index, about.ended
        self.unsaved, self.saved = 0, True
        self._recent.clear()
        self._recent.extend(about.recent)


@dataclass(frozen=True, slots=True)
class SavedPlace:
    """Which record a saved window had reached.

    Attributes:
        offset: Its offset in the log of shots.
        sequence: What the next record counts.
        epoch: Its epoch's number.
    """

    offset: int
    sequence: int
    epoch: int


def saved_place(saved: bytes) -> SavedPlace | None:
    """Read the place alone, whatever the mixture; None when it cannot be read."""
    try:
        about, _ = _read(saved)
    except StateError:
        return None
    return SavedPlace(about.offset, about.sequence, about.epoch)


def _read(saved: bytes) -> tuple[_Saved, bytes]:
    """Return what a saved window says of itself, and its segmentation."""
    try:
        if is_sealed(saved):
            text, state = unseal(saved, "window", _PLACE)
        else:
            version, length = _FIRST.unpack_from(saved)
            if version != 1:
                raise ValueError("of another version")
            text, state = saved[_FIRST.size :][:length], saved[_FIRST.size + length :]
        return _Saved.model_validate_json(text), state
    except (struct.error, ValidationError, ValueError) as error:
        raise StateDamaged(f"{_PLACE} is damaged") from error


def _index(record: ShotRecord) -> int | None:
    return None if record.shot is None else record.shot.shot.index


def _mark(record: ShotRecord) -> tuple[int, int, int]:
    """What tells a record from another one in the same place."""
    if record.shot is None:
        return record.epoch.number, -1, record.sequence
    shot = record.shot.shot
    text = repr((record.epoch.start.seconds, shot.start.seconds, shot.end.seconds, shot.ended_by))
    return record.epoch.number, shot.index, zlib.crc32(text.encode())
