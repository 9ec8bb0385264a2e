"""Turn closed shots into event payloads: the half of a stream that knows the mixture."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from streamer.errors import StateDamaged, StateError
from streamer.events.payload import ModelRef
from streamer.pipeline import remember
from streamer.pipeline.scenes import SceneTracker
from streamer.saved import (
    is_sealed,
    most_bytes,
    pack_arrays,
    seal,
    unpack_arrays,
    unseal,
)
from streamer.window.scorer import CausalScorer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamer.events.payload import EventData
    from streamer.models.mixture import Moae
    from streamer.pipeline.epoch import Epoch
    from streamer.timeline import EmbeddedShot, Shot
    from streamer.window.scorer import Decision

_PLACE: Final = "the saved stream state"


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str
    tracker: str


class ShotConsumer(Protocol):
    """Take the closed shots of one stream, over as many epochs as it takes.

    `StreamSegmentation` decides about them here; a fleet's reader sends them to Kafka.
    """

    @property
    def epoch(self) -> Epoch | None:
        """The current epoch; None before the first."""

    @property
    def last(self) -> tuple[int, Shot] | None:
        """Epoch and last shot that was taken; None before the first."""

    def begin(self, epoch: Epoch) -> Sequence[EventData]:
        """Start an epoch; the next shots lie in it. Return the events that follow from it."""

    def push(
        self, shot: EmbeddedShot, wallclock: float | None = None, arrival: float | None = None
    ) -> Sequence[EventData]:
        """Take the next closed shot of the current epoch.

        Args:
            shot: The shot.
            wallclock: Its first frame's, seconds since the Unix epoch, as the source reports.
            arrival: Its first frame's, seconds since the Unix epoch.

        Returns:
            The events that follow from it.
        """

    def finish(self) -> Sequence[EventData]:
        """End the stream for good. Return the events that follow from it."""


class StreamSegmentation:
    """Segment one stream, over as many epochs as it takes.

    The window of shots continues across epochs, so a gap neither adds a boundary nor hides one: the
    boundary between the last shot before it and the first one after is scored like any other.

    Args:
        stream: Its name in events.
        model: The mixture; shared between streams.
        threshold: Score from which a boundary is reported, within [0, 1]; None takes the
            checkpoint's.
        lookahead: Shots to wait for beyond the window's own; None takes the checkpoint's.

    Raises:
        CheckpointError: The look-ahead does not fit the checkpoint.
    """

    def __init__(
        self,
        stream: str,
        model: Moae,
        *,
        threshold: float | None = None,
        lookahead: int | None = None,
    ) -> None:
        self.stream = stream
        self.segmenter = CausalScorer(model, lookahead)
        reference = ModelRef(name=model.config.row, sha256=model.digest)
        chosen = model.config.threshold if threshold is None else threshold
        self._tracker = SceneTracker(stream, reference, chosen)

    @property
    def epoch(self) -> Epoch | None:
        """The current epoch; None before the first."""
        current = self._tracker.state.current
        return None if current is None else current.epoch

    @property
    def last(self) -> tuple[int, Shot] | None:
        """Epoch and last shot that was taken; None before the first."""
        known = self._tracker.state.known
        return (known[-1].within.epoch.number, known[-1].shot) if known else None

    @property
    def shots(self) -> int:
        """Shots taken, over all epochs."""
        return self._tracker.state.pushed

    def begin(self, epoch: Epoch) -> list[EventData]:
        """Start an epoch; the next shots lie in it.

        Returns:
            The discontinuity before it, if there was one.

        Raises:
            ValueError: Its number is not higher than the last one's.
        """
        discontinuity = self._tracker.begin(epoch)
        return [] if discontinuity is None else [discontinuity]

    def push(
        self, shot: EmbeddedShot, wallclock: float | None = None, arrival: float | None = None
    ) -> list[EventData]:
        """Take the next closed shot of the current epoch.

        Args:
            shot: The shot.
            wallclock: Its first frame's, seconds since the Unix epoch, as the source reports.
            arrival: Its first frame's, seconds since the Unix epoch.

        Returns:
            The shot itself, then boundary and scene where one was decided.

        Raises:
            CheckpointError: Its tokens do not fit the checkpoint; nothing has changed then.
            ValueError: It is not the next shot, or its tokens are not finite.
        """
        began = time.perf_counter() - shot.compute_seconds
        taken = self.take(shot, wallclock, arrival)
        return [taken, *self.decided(self.segmenter.push(shot.tokens), began)]

    def take(
        self, shot: EmbeddedShot, wallclock: float | None = None, arrival: float | None = None
    ) -> EventData:
        """Do the first half of `push`, for callers that score many streams in one batch."""
        self.segmenter.check(shot.tokens)
        return self._tracker.shot(shot, wallclock, arrival)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Undo the changes of `begin` and `take` if anything within fails."""
        before = replace(self._tracker.state)
        try:
            yield
        except BaseException:
            self._tracker.state = before
            raise

    def decided(self, decisions: Sequence[Decision], began: float) -> list[EventData]:
        """Do the second half of `push`.

        Args:
            decisions: The scorer's decisions after the shot.
            began: `time.perf_counter` when its end was known.
        """
        events: list[EventData] = []
        for decision in decisions:
            found = self._tracker.decide(decision, time.perf_counter() - began)
            events += [event for event in found if event is not None]
        return events

    def finish(self) -> list[EventData]:
        """End the stream for good: decide what is left and end the last scene."""
        events = self.decided(self.segmenter.finish(), time.perf_counter())
        scene = self._tracker.finish()
        return events if scene is None else [*events, scene]

    def state(self) -> bytes:
        """Return everything needed to continue in another process; bounded, and plain data."""
        content = _Content(stream=self.stream, tracker=remember.dump(self._tracker.state))
        body = pack_arrays(self.segmenter.state())
        return seal("segments", content.model_dump_json(), body)

    def restore(self, state: bytes) -> None:
        """Resume from a saved state; where that fails, nothing has changed.

        Raises:
            StateError: It is damaged, or belongs to another stream, checkpoint, look-ahead
                or version of this program.
        """
        if is_sealed(state):
            header, body = unseal(state, "segments", _PLACE)
            arrays = unpack_arrays(body, _PLACE)
        else:
            # Version 0.1.0 wrote arrays, with the rest as their metadata.
            arrays = unpack_arrays(state[: most_bytes("segments")], _PLACE)
            header = _first_header(state)
        try:
            content = _Content.model_validate_json(header)
        except ValidationError as error:
            raise StateDamaged(f"{_PLACE} is damaged") from error
        if content.stream != self.stream:
            raise StateError(f"{_PLACE} belongs to another stream")
        tracker = remember.load(content.tracker)
        self.segmenter.restore(arrays)
        self._tracker.state = tracker


def _first_header(state: bytes) -> bytes:
    size = int.from_bytes(state[:8], "little")
    try:
        metadata = json.loads(state[8 : 8 + size])["__metadata__"]
        if metadata.pop("version") != "1":
            raise ValueError("of another version")
        return json.dumps(metadata).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StateDamaged(f"{_PLACE} is damaged") from error
