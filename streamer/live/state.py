"""A stream's state on disk, so that another process can go on."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import safetensors
import safetensors.numpy
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.config.folders import safe_file_name
from streamer.connectors.sources.beginning import Beginning
from streamer.errors import StateError, StateUnwritable
from streamer.files import PRIVATE, write_atomically
from streamer.pipeline import resume_point

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamer.pipeline.resume_point import ResumePoint

VERSION: Final = 1
MAX_BYTES: Final = 64 << 20
ENDING: Final = ".state"
_SEGMENTATION: Final = "segmentation"
_HEAD: Final = "stream"
_MARK: Final = "mark"

Count = Annotated[int, Field(ge=0)]


class Head(BaseModel):
    """The small numbers of a stream.

    Attributes:
        version: Of this format.
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

    version: int = VERSION
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
    beginning: Beginning | None = None


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
    """One stream's file; it always holds one whole state, whenever the process dies.

    Args:
        folder: Made when missing, for its owner only.
        stream: The stream's name.
    """

    def __init__(self, folder: Path, stream: str) -> None:
        self.path = folder / f"{safe_file_name(stream)}{ENDING}"
        self._stream = stream

    def load(self) -> Saved | None:
        """Reads the state.

        Returns:
            None when there is none.

        Raises:
            StateError: It is damaged, of another version or another stream's.
        """
        try:
            if self.path.stat().st_size > MAX_BYTES:
                raise StateError(f"{self.path}: too large for a stream's state")
            with safetensors.safe_open(self.path, framework="numpy") as file:
                metadata = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a dict
        except FileNotFoundError:
            return None
        except (OSError, safetensors.SafetensorError, ValueError, KeyError) as error:
            raise StateError(f"{self.path}: cannot be read as a stream's state") from error
        try:
            head = Head.model_validate_json(metadata[_HEAD])
            segmentation = np.asarray(arrays[_SEGMENTATION], dtype=np.uint8).tobytes()
        except (KeyError, ValidationError, ValueError) as error:
            raise StateError(f"{self.path}: not a stream's state") from error
        if head.version != VERSION:
            raise StateError(f"{self.path}: version {head.version}, not {VERSION}")
        if head.stream != self._stream:
            raise StateError(f"{self.path}: belongs to another stream")
        text = metadata.get(_MARK)
        return Saved(head, segmentation, None if text is None else resume_point.load(text, arrays))

    def save(self, saved: Saved) -> None:
        """Replaces the state; it is on the disk when this returns.

        Raises:
            StateUnwritable: It cannot be written.
        """
        metadata = {_HEAD: saved.head.model_dump_json()}
        arrays: dict[str, NDArray[Any]] = {
            _SEGMENTATION: np.frombuffer(saved.segmentation, np.uint8)
        }
        if saved.mark is not None:
            metadata[_MARK], more = resume_point.dump(saved.mark)
            arrays |= more
        self._write(safetensors.numpy.save(arrays, metadata))

    def try_out(self) -> None:
        """Writes what is there once more, to see whether a state can be written at all.

        Raises:
            StateUnwritable: It cannot.
        """
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_size <= MAX_BYTES:
                self._write(self.path.read_bytes())

    def delete(self) -> None:
        """Forgets the stream."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()

    def _write(self, data: bytes) -> None:
        try:
            write_atomically(self.path, data, mode=PRIVATE, alone=True)
        except OSError as error:
            reason = f"{self.path}: cannot be written: {error.strerror}"
            raise StateUnwritable(reason) from error
