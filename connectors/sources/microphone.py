"""A microphone or line-in, through PortAudio."""

from __future__ import annotations

import queue
import time
from typing import TYPE_CHECKING, Any, Final

from streamer.connectors.sources.source import Opening, SourceBase
from streamer.errors import (
    SourceNotFound,
    SourceStalled,
    SourceUnreachable,
    SourceUnsupported,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.errors import SourceError

BLOCK_SECONDS: Final = 0.05
QUEUED_BLOCKS: Final = 200
LATENCY_SECONDS: Final = 0.2
CHANNELS: Final = 2
SAMPLE_BYTES: Final = 2
POLL_SECONDS: Final = 0.1


def portaudio() -> Any:
    """Import the sounddevice module.

    Raises:
        SourceUnsupported: The PortAudio library is missing.
    """
    try:
        import sounddevice
    except OSError:
        raise SourceUnsupported(
            "recording sound needs the PortAudio library (Debian: libportaudio2)"
        ) from None
    return sounddevice


class MicrophoneSource(SourceBase):
    """Record 16-bit audio and give it to the decoder as a stream of bytes.

    What could not be taken in time is replaced by silence of the same length, so that sound
    keeps its place in time.

    Args:
        device: Number or part of a name, as ``streamer devices`` lists them; empty for the
            system's default.
        stall_seconds: Seconds in which the next block has to come.
    """

    def __init__(self, device: str, *, stall_seconds: float = 10.0) -> None:
        super().__init__(f"mic:{device}", live=True, endless=True)
        self._device: int | str | None = int(device) if device.isdigit() else device or None
        self._stall_seconds = stall_seconds
        self._blocks: queue.Queue[bytes] = queue.Queue(QUEUED_BLOCKS)
        self._pending = b""
        self._stream: Any = None
        self._fault: SourceError | None = None
        self._began: float | None = None
        self._lost = 0
        self.rate, self.channels = 0, 0

    def open(self) -> Opening:
        """Start recording.

        Raises:
            SourceUnsupported: PortAudio is missing.
            SourceNotFound: There is no such input.
            SourceUnreachable: It cannot be opened now.
        """
        sound = portaudio()
        try:
            found = sound.query_devices(self._device, "input")
        except (ValueError, sound.PortAudioError):
            hint = "no such sound input; streamer devices lists them"
            raise SourceNotFound(f"{self.name}: {hint}") from None
        self.rate = round(found["default_samplerate"])
        self.channels = min(CHANNELS, found["max_input_channels"])
        try:
            self._stream = sound.RawInputStream(
                samplerate=self.rate,
                blocksize=round(self.rate * BLOCK_SECONDS),
                device=self._device,
                channels=self.channels,
                dtype="int16",
                latency=LATENCY_SECONDS,
                callback=self._record,
            )
            self._stream.start()
        except sound.PortAudioError as error:
            raise SourceUnreachable(f"{self.name}: cannot record ({error.args[0]})") from None
        return Opening(
            self,
            format="s16le",
            formats=frozenset({"s16le"}),
            options={
                "sample_rate": str(self.rate),
                "ch_layout": "mono" if self.channels == 1 else "stereo",
            },
        )

    def read(self, size: int = -1, /) -> bytes:
        """Wait for audio.

        Args:
            size: At most so many bytes.

        Returns:
            Interleaved samples; empty when stopped or when the device fell silent for too long,
            which :meth:`fault` tells apart.
        """
        deadline = time.monotonic() + self._stall_seconds
        while not self._pending and not self._stopped:
            try:
                self._pending = self._blocks.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if time.monotonic() >= deadline:
                    wait = f"{self._stall_seconds:g} s"
                    self._fault = SourceStalled(f"{self.name}: nothing came for {wait}")
                    break
        size = size if size > 0 else len(self._pending)
        data, self._pending = self._pending[:size], self._pending[size:]
        return data

    def blocks(self) -> Iterator[bytes]:
        """Yield the blocks recorded so far, in place of :meth:`read`; does not wait."""
        while True:
            try:
                yield self._blocks.get_nowait()
            except queue.Empty:
                return

    def seekable(self) -> bool:
        """Return False."""
        return False

    def fault(self) -> SourceError | None:
        """Return the error where the device fell silent."""
        return self._fault

    def wallclock(self) -> float | None:
        """Return when the first sample was recorded, by this machine's clock."""
        return self._began

    def close(self) -> None:
        """End the recording."""
        if self._stream is not None:
            self._stream.close(ignore_errors=True)
            self._stream = None

    def _record(self, samples: Any, frames: int, clock: Any, status: Any) -> None:
        # On PortAudio's thread: must not wait.
        if self._began is None:
            self._began = time.time() - max(0.0, clock.currentTime - clock.inputBufferAdcTime)
        data = bytes(samples)
        if self._lost:
            data = bytes(self._lost * self.channels * SAMPLE_BYTES) + data
        try:
            self._blocks.put_nowait(data)
        except queue.Full:
            self._lost += frames
        else:
            self._lost = 0
