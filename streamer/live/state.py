"""Keep a stream's state on disk, so that another process can continue it."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.config.folders import safe_file_name
from streamer.connectors.sources.file import FileFingerprint
from streamer.errors import StateDamaged, StateError, StateUnwritable
from streamer.files import PRIVATE, put_aside, write_atomically
from streamer.pipeline import resume_point
from streamer.saved import is_sealed, pack_arrays, read_file, seal, unpack_arrays, unseal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from streamer.pipeline.resume_point import ResumePoint

ENDING: Final = ".state"
EPOCH_ENDING: Final = ".epoch"
_SEGMENTATION: Final = "segmentation"

Count = Annotated[int, Field(ge=0)]


class Head(BaseModel):
    """The small numbers of a stream.

    Attributes:
        stream: Its name in events.
        source: Fingerprint of its location; another location is no continuation.
        epoch: The latest that has begun.
        exact: The input's times are its own, so it can be read from a place in the middle.
        ended: The input has ended and everything was sent.
        wall: Seconds since the Unix epoch when this was true.
        base: Seconds of media in the epochs before; of an ended stream, in all.
        shots: Closed since the beginning.
        scenes: Complete.
        boundaries: Decided.
        beginning: Of the input, by which it is known again; None where it cannot be.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    stream: str
    source: str
    epoch: Count
    exact: bool
    ended: bool = False
    wall: float
    base: Annotated[float, Field(ge=0.0)]
    shots: Count
    scenes: Count
    boundaries: Count
    beginning: FileFingerprint | None = None


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: Head
    mark: str | None


class _Epoch(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str
    epoch: Count


@dataclass(frozen=True, slots=True)
class Saved:
    """Everything that is kept of a stream; its size does not depend on the stream's length.

    Attributes:
        head: Small numbers.
        segmentation: From `StreamSegmentation.state`.
        mark: Where to go on in the input; None where only its beginning will do.
    """

    head: Head
    segmentation: bytes
    mark: ResumePoint | None


class StateFile:
    """Hold one stream's state, and its epoch once more in a file beside it.

    Each file is whole at any moment. The second one keeps the ids of the past from coming again
    when the first one is damaged or lost.

    Args:
        folder: Made when missing, for its owner only.
        stream: The stream's name.
    """

    def __init__(self, folder: Path, stream: str) -> None:
        name = safe_file_name(stream)
        self.path, self.epoch_path = folder / f"{name}{ENDING}", folder / f"{name}{EPOCH_ENDING}"
        self._stream = stream
        # None where the second file holds nothing that can be read.
        self._epoch = self._load_epoch()

    def load(self) -> Saved | None:
        """Read the state.

        Returns:
            None when there is none, and never was.

        Raises:
            StateDamaged: It is damaged, another stream's, or lost though its epoch is there.
            StateError: It cannot be read, or a newer version of the program wrote it.
        """
        try:
            data = read_file(self.path, "stream")
        except FileNotFoundError as error:
            if self._epoch is None:
                return None
            reason = f"{self.path}: lost; {self.epoch_path.name} is still there"
            raise StateDamaged(reason) from error
        except OSError as error:
            raise StateError(f"{self.path}: cannot be read: {error.strerror}") from error
        saved = self._unseal(data) if is_sealed(data) else self._load_first(data)
        if saved.head.stream != self._stream:
            raise StateDamaged(f"{self.path}: belongs to another stream")
        return saved

    def save(self, saved: Saved) -> None:
        """Replace the state; it is on the disk when this returns.

        Raises:
            StateUnwritable: It cannot be written.
        """
        arrays: dict[str, NDArray[Any]] = {
            _SEGMENTATION: np.frombuffer(saved.segmentation, np.uint8)
        }
        text: str | None = None
        if saved.mark is not None:
            text, more = resume_point.dump(saved.mark)
            arrays |= more
        header = _Content(stream=saved.head, mark=text).model_dump_json()
        data = seal("stream", header, pack_arrays(arrays))
        number, known = saved.head.epoch, self._epoch
        # A new stream has a state before it has a second file: without one, that would be a loss.
        if known is not None and known < number:
            self._save_epoch(number)
        self._write(self.path, data)
        if known is None:
            self._save_epoch(number)

    def lose(self, epoch: int | None, now: float) -> int:
        """Put a state that is damaged aside.

        Args:
            epoch: A lower bound that the settings give.
            now: Seconds since the Unix epoch.

        Returns:
            The number of an epoch that is higher than any used before, and is kept already.

        Raises:
            StateUnwritable: That cannot be written; nothing is put aside then.
        """
        if self._epoch is not None:
            # An epoch may have begun that could not be saved.
            number = self._epoch + 2
        else:
            # Feeds count from the time they began, and never faster than the clock.
            with suppress(FileNotFoundError):
                now = max(now, self.path.stat().st_mtime)
            number = int(now) + 1
        number = max(number, 0 if epoch is None else epoch + 1)
        self._save_epoch(number)
        try:
            put_aside(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            reason = f"{self.path}: cannot be put aside: {error.strerror}"
            raise StateUnwritable(reason) from error
        return number

    def try_out(self) -> None:
        """Write what is there once more, to see whether a state can be written at all.

        Raises:
            StateUnwritable: It cannot.
        """
        with suppress(FileNotFoundError):
            before, data = self.path.stat(), read_file(self.path, "stream")
            if len(data) == before.st_size:
                self._write(self.path, data)
                os.utime(self.path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def delete(self) -> None:
        """Forget the stream."""
        self.epoch_path.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self._epoch = None

    def _unseal(self, data: bytes) -> Saved:
        header, body = unseal(data, "stream", self.path)
        arrays = unpack_arrays(body, self.path)
        try:
            content = _Content.model_validate_json(header)
        except ValidationError as error:
            raise StateDamaged(f"{self.path}: not a stream's state") from error
        return self._saved(content.stream, content.mark, arrays)

    def _load_first(self, data: bytes) -> Saved:
        """Read what version 0.1.0 wrote; it has no checksum."""
        arrays = unpack_arrays(data, self.path)
        try:
            size = int.from_bytes(data[:8], "little")
            metadata = json.loads(data[8 : 8 + size])["__metadata__"]
            values = json.loads(metadata["stream"])
            if values.pop("version", 1) != 1:
                raise ValueError("of another version")
            head = Head.model_validate_json(json.dumps(values))
            mark = metadata.get("mark")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise StateDamaged(f"{self.path}: not a stream's state") from error
        return self._saved(head, mark, arrays)

    def _saved(
        self, head: Head, mark: str | None, arrays: Mapping[str, NDArray[np.generic]]
    ) -> Saved:
        try:
            segmentation = np.asarray(arrays[_SEGMENTATION], dtype=np.uint8).tobytes()
            place = None if mark is None else resume_point.load(mark, arrays)
        except (KeyError, ValueError, StateError) as error:
            raise StateDamaged(f"{self.path}: not a stream's state") from error
        return Saved(head, segmentation, place)

    def _load_epoch(self) -> int | None:
        try:
            data = read_file(self.epoch_path, "epoch")
            kept = _Epoch.model_validate_json(unseal(data, "epoch", self.epoch_path).header)
        except (OSError, StateError, ValidationError):
            return None
        return kept.epoch if kept.stream == self._stream else None

    def _save_epoch(self, number: int) -> None:
        header = _Epoch(stream=self._stream, epoch=number).model_dump_json()
        self._write(self.epoch_path, seal("epoch", header))
        self._epoch = number

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_atomically(path, data, mode=PRIVATE, alone=True)
        except OSError as error:
            raise StateUnwritable(f"{path}: cannot be written: {error.strerror}") from error
