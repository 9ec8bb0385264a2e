"""Cameras and screens of this machine, alone or with a microphone, and the list of devices."""

from __future__ import annotations

import os
import queue
import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from streamer.connectors.sources.microphone import portaudio
from streamer.connectors.sources.source import Opening, SourceBase
from streamer.errors import (
    SourceClosed,
    SourceError,
    SourceStalled,
    SourceUnreachable,
    SourceUnsupported,
)

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

    from streamer.connectors.sources.microphone import MicrophoneSource

# Kind → FFmpeg's input for it, and its options.
INPUTS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "camera": ("video4linux2,v4l2", {"timestamps": "abs"}),
    "screen": ("x11grab", {"framerate": "25", "draw_mouse": "0"}),
}
QUEUED_BYTES: Final = 64 << 20
POLL_SECONDS: Final = 0.05
TICK: Final = Fraction(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class Device:
    """Describe something to record from.

    Attributes:
        kind: What it gives.
        location: What to type for it.
        name: What the system calls it.
        detail: Channels and rate of sound; empty for pictures.
    """

    kind: Literal["sound", "camera", "screen"]
    location: str
    name: str
    detail: str = ""


def microphones() -> list[Device]:
    """List audio inputs, the default first.

    Raises:
        SourceUnsupported: PortAudio is missing.
    """
    sound = portaudio()
    found: list[Device] = []
    try:
        default = sound.query_devices(kind="input")["index"]
    except (ValueError, sound.PortAudioError):
        default = None
    for device in sound.query_devices():
        if device["max_input_channels"] < 1:
            continue
        rate = f"{device['default_samplerate']:g} Hz"
        detail = f"{device['max_input_channels']} channels, {rate}"
        if device["index"] == default:
            found.insert(0, Device("sound", "mic:", f"default: {device['name']}", detail))
        found.append(Device("sound", f"mic:{device['index']}", device["name"], detail))
    return found


def cameras(
    devices: Path = Path("/dev"), names: Path = Path("/sys/class/video4linux")
) -> list[Device]:
    """List Video4Linux devices.

    Args:
        devices: Where the system keeps device files.
        names: Where it keeps their names.
    """
    found = []
    for path in sorted(devices.glob("video[0-9]*")):
        label = names / path.name / "name"
        name = label.read_text("utf-8", "replace").strip() if label.exists() else path.name
        found.append(Device("camera", f"camera:{path}", name))
    return found


def screens() -> list[Device]:
    """List the X display of this session, if there is one."""
    display = os.environ.get("DISPLAY")
    return [Device("screen", f"screen:{display}", f"X display {display}")] if display else []


def devices() -> tuple[list[Device], list[str]]:
    """List every device, and what could not be looked for.

    Returns:
        Devices, and one line for each kind that this machine lacks the means for.
    """
    missing = []
    try:
        heard = microphones()
    except SourceUnsupported as error:
        heard = []
        missing.append(str(error))
    return [*heard, *cameras(), *screens()], missing


class CaptureSource(SourceBase):
    """Record frames from a camera or screen, without audio.

    Args:
        kind: ``camera`` or ``screen``.
        device: A Video4Linux device file, or an X display.
        open_seconds: Seconds in which the device has to answer.
        stall_seconds: Seconds in which the next frame has to come.
    """

    def __init__(
        self, kind: str, device: str, *, open_seconds: float = 10.0, stall_seconds: float = 10.0
    ) -> None:
        super().__init__(f"{kind}:{device}", live=True, endless=True)
        self._kind, self._device = kind, device
        self._open_seconds, self._stall_seconds = open_seconds, stall_seconds

    def open(self) -> Opening:
        """Describe the device to the demuxer.

        Raises:
            SourceUnsupported: The linked FFmpeg has no such input.
        """
        import av

        name, options = INPUTS[self._kind]
        short = name.partition(",")[0]
        if short not in {known.partition(",")[0] for known in av.formats_available}:
            raise SourceUnsupported(f"{self.name}: the linked FFmpeg cannot record from it")
        return Opening(
            self._device,
            format=name.rpartition(",")[2],
            formats=frozenset({name}),
            protocols=("file",),
            options=options,
            open_seconds=self._open_seconds,
            stall_seconds=self._stall_seconds,
        )


class CombinedCaptureSource(SourceBase):
    """Put frames of a camera or screen and audio of a microphone into one container in memory.

    Both devices stamp what they record with the time of day, from which the frames get times on
    the audio's clock; frames from before the first sample are left out.

    Args:
        pictures: A camera or screen.
        sound: A microphone.
        timeout: Seconds in which the first bytes, and then the next, have to come.
    """

    def __init__(
        self, pictures: CaptureSource, sound: MicrophoneSource, *, timeout: float = 20.0
    ) -> None:
        super().__init__(f"{pictures.name}+{sound.name}", live=True, endless=True)
        self._video, self._audio, self._timeout = pictures, sound, timeout
        self._pipe = _Pipe()
        self._fault: SourceError | None = None
        self._thread: threading.Thread | None = None

    def open(self) -> Opening:
        """Start both devices.

        Raises:
            SourceError: One of them cannot be opened.
        """
        self._audio.open()
        opening = self._video.open()
        self._thread = threading.Thread(
            target=self._record, args=(opening,), name="record", daemon=True
        )
        self._thread.start()
        return Opening(self, format="nut")

    def read(self, size: int = -1, /) -> bytes:
        """Wait for bytes of the common container.

        Args:
            size: At most so many.

        Returns:
            Bytes; empty when stopped or when a device failed, which :meth:`fault` tells apart.
        """
        deadline = time.monotonic() + self._timeout
        while not self._stopped and self._fault is None:
            data = self._pipe.read(size)
            if data:
                return data
            if time.monotonic() > deadline:
                self._fault = SourceStalled(f"{self.name}: nothing came")
        return b""

    def seekable(self) -> bool:
        """Return False."""
        return False

    def fault(self) -> SourceError | None:
        """Return how a device failed, if one did."""
        return self._fault

    def wallclock(self) -> float | None:
        """Return when the first sample was recorded, by this machine's clock."""
        return self._audio.wallclock()

    def stop(self) -> None:
        """End the running read and the recording."""
        super().stop()
        self._pipe.closed = True
        self._video.stop()
        self._audio.stop()

    def close(self) -> None:
        """End the recording."""
        self.stop()
        if self._thread is not None:
            self._thread.join(1.0)
        self._audio.close()

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
            self._fail(SourceUnreachable(f"{self._video.name}: {error.strerror}"))
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
        layout = "mono" if self._audio.channels == 1 else "stereo"
        sound = mixed.add_stream("pcm_s16le", rate=self._audio.rate, layout=layout)
        mixed.start_encoding()
        samples = 0
        for packet in camera.demux(shown):
            if self._stopped:
                return
            for block in self._audio.blocks():
                samples += self._mux_audio(mixed, sound, block, samples)
            began = self._audio.wallclock()
            for frame in packet.decode():
                if frame.pts is None or began is None or frame.time_base is None:
                    continue
                at = frame.pts * frame.time_base - Fraction(began)
                if at >= 0:
                    plain = frame.reformat(shown.width, shown.height, format="yuv420p", threads=1)
                    plain.pts, plain.time_base = round(at / TICK), TICK
                    mixed.mux(picture.encode(plain))
        self._fail(SourceClosed(f"{self._video.name}: ended"))

    def _mux_audio(self, mixed: OutputContainer, stream: Any, block: bytes, first: int) -> int:
        import av
        import numpy as np

        values = np.frombuffer(block, np.int16)[None, :]
        layout = "mono" if self._audio.channels == 1 else "stereo"
        frame = av.AudioFrame.from_ndarray(values, format="s16", layout=layout)
        frame.sample_rate, frame.pts = self._audio.rate, first
        frame.time_base = Fraction(1, self._audio.rate)
        mixed.mux(stream.encode(frame))
        return frame.samples

    def _fail(self, error: SourceError) -> None:
        if not self._stopped and self._fault is None:
            self._fault = error


class _Pipe:
    """Pass what the muxer writes to the demuxer; drops nothing, holds little."""

    def __init__(self) -> None:
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._rest = b""
        # Each is written by one thread only.
        self._in = self._out = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        """Queue bytes; a full queue makes the recorder wait."""
        while self._in - self._out > QUEUED_BYTES and not self.closed:
            time.sleep(POLL_SECONDS)
        self._in += len(data)
        self._chunks.put(bytes(data))
        return len(data)

    def read(self, size: int) -> bytes:
        """Wait a moment for bytes."""
        if not self._rest:
            try:
                self._rest = self._chunks.get(timeout=POLL_SECONDS)
            except queue.Empty:
                return b""
            self._out += len(self._rest)
        size = size if size > 0 else len(self._rest)
        data, self._rest = self._rest[:size], self._rest[size:]
        return data
