"""A camera or screen with a microphone beside it, as one input."""

from __future__ import annotations

import queue
import threading
import time
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from streamer.connectors.sources.source import Opening, SourceBase
from streamer.errors import SourceClosed, SourceError, SourceStalled, SourceUnreachable

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

    from streamer.config.sections import SourceSection
    from streamer.connectors.sources.capture import CaptureSource
    from streamer.connectors.sources.microphone import MicrophoneSource

QUEUED_BYTES: Final = 64 << 20
POLL_SECONDS: Final = 0.05
TICK: Final = Fraction(1, 1_000_000)


class BesideSource(SourceBase):
    """Puts pictures and sound into one container in memory, by the machine's clock.

    Both devices stamp what they record with the time of day, from which the pictures get times on
    the sound's clock; pictures from before the first sample are left out.

    Args:
        pictures: A camera or screen.
        sound: A microphone.
        settings: Deadlines.
    """

    def __init__(
        self, pictures: CaptureSource, sound: MicrophoneSource, settings: SourceSection
    ) -> None:
        super().__init__(f"{pictures.name}+{sound.name}", live=True, endless=True)
        self._pictures, self._sound, self._settings = pictures, sound, settings
        self._pipe = _Pipe()
        self._fault: SourceError | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> Opening:
        """Starts both devices.

        Raises:
            SourceError: One of them cannot be opened.
        """
        self._sound.open()
        opening = self._pictures.open()
        self._thread = threading.Thread(
            target=self._record, args=(opening,), name="record", daemon=True
        )
        self._thread.start()
        return Opening(self, format="nut")

    def read(self, size: int = -1, /) -> bytes:
        """Waits for bytes of the common container.

        Args:
            size: At most so many.

        Returns:
            Bytes; empty when stopped or when a device failed, which :meth:`fault` tells apart.
        """
        deadline = time.monotonic() + self._settings.open_seconds + self._settings.stall_seconds
        while not self._stopped and self._fault is None:
            data = self._pipe.read(size)
            if data:
                return data
            if time.monotonic() > deadline:
                self._fault = SourceStalled(f"{self.name}: nothing came")
        return b""

    def seekable(self) -> bool:
        """Never."""
        return False

    def fault(self) -> SourceError | None:
        """Which device failed, and how."""
        return self._fault

    def wallclock(self) -> float | None:
        """When the first sample was recorded, by this machine's clock."""
        return self._sound.wallclock()

    def stop(self) -> None:
        """Ends the running read and the recording."""
        super().stop()
        self._pipe.closed = True
        self._pictures.stop()
        self._sound.stop()

    def close(self) -> None:
        """Ends the recording."""
        self.stop()
        if self._thread is not None:
            self._thread.join(1.0)
        self._sound.close()

    def _record(self, opening: Opening) -> None:
        import av

        limits = (opening.open_seconds, opening.stall_seconds)
        try:
            with av.open(
                opening.target,
                "r",
                format=opening.format,
                container_options={
                    **opening.options,
                    "protocol_whitelist": ",".join(opening.protocols),
                },
                timeout=limits,
            ) as camera:
                self._mix(camera)
        except av.error.FFmpegError as error:
            self._fail(SourceUnreachable(f"{self._pictures.name}: {error.strerror}"))
        except SourceError as error:
            self._fail(error)

    def _mix(self, camera: InputContainer) -> None:
        import av

        shown = camera.streams.video[0]
        mixed: OutputContainer = av.open(self._pipe, "w", format="nut")
        # Half the bytes of what screens give, and the same for every camera.
        picture = mixed.add_stream("rawvideo", rate=shown.average_rate or 25)
        picture.width, picture.height, picture.pix_fmt = shown.width, shown.height, "yuv420p"
        picture.codec_context.time_base = TICK
        layout = "mono" if self._sound.channels == 1 else "stereo"
        sound = mixed.add_stream("pcm_s16le", rate=self._sound.rate, layout=layout)
        mixed.start_encoding()
        samples = 0
        for packet in camera.demux(shown):
            if self._stopped:
                return
            for block in self._sound.blocks():
                samples += self._heard(mixed, sound, block, samples)
            began = self._sound.wallclock()
            for frame in packet.decode():
                if frame.pts is None or began is None or frame.time_base is None:
                    continue
                at = frame.pts * frame.time_base - Fraction(began)
                if at >= 0:
                    plain = frame.reformat(shown.width, shown.height, format="yuv420p", threads=1)
                    plain.pts, plain.time_base = round(at / TICK), TICK
                    mixed.mux(picture.encode(plain))
        self._fail(SourceClosed(f"{self._pictures.name}: ended"))

    def _heard(self, mixed: OutputContainer, stream: Any, block: bytes, first: int) -> int:
        import av
        import numpy as np

        values = np.frombuffer(block, np.int16)[None, :]
        layout = "mono" if self._sound.channels == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(values, format="s16", layout=layout)
        frame.sample_rate, frame.pts = self._sound.rate, first
        frame.time_base = Fraction(1, self._sound.rate)
        mixed.mux(stream.encode(frame))
        return frame.samples

    def _fail(self, error: SourceError) -> None:
        if not self._stopped and self._fault is None:
            self._fault = error


class _Pipe:
    """Takes what the muxer writes and gives it to the demuxer; drops nothing, holds little."""

    def __init__(self) -> None:
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._rest = b""
        # Each is written by one thread only.
        self._in = self._out = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        """Queues bytes; the recorder falls behind rather than the memory growing."""
        while self._in - self._out > QUEUED_BYTES and not self.closed:
            time.sleep(POLL_SECONDS)
        self._in += len(data)
        self._chunks.put(bytes(data))
        return len(data)

    def read(self, size: int) -> bytes:
        """Waits a moment for bytes."""
        if not self._rest:
            try:
                self._rest = self._chunks.get(timeout=POLL_SECONDS)
            except queue.Empty:
                return b""
            self._out += len(self._rest)
        size = size if size > 0 else len(self._rest)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
