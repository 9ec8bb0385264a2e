"""Open a container, on a GPU where that works."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING, Final, Literal, cast

from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.error import FFmpegError

from streamer.decode.demux import open_demuxer
from streamer.errors import DeviceError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from streamer.connectors.sources.source import ByteStream, Opening, SeekableStream, Source
    from streamer.decode.demux import Demuxer
    from streamer.decode.streams import DecodeOptions


Hardware = Literal["auto", "off", "cuda"]

_DEVICE: Final = "cuda"
_USUAL: Final = "h264"
_SHARED: Final[dict[str, object]] = {"primary_ctx": "1"}


def accelerator(wanted: Hardware, present: Callable[[], bool] | None = None) -> HWAccel | None:
    """Return the decoder's helper on the GPU; frames come back to main memory.

    Codecs that the GPU does not know are decoded on the CPU all the same.

    Args:
        wanted: ``auto`` takes it where it is present, ``cuda`` insists.
        present: Whether it is; asks the system when None.

    Returns:
        What `av.open` takes as ``hwaccel``; None for the CPU.

    Raises:
        DeviceError: It is insisted on and not present.
    """
    if wanted == "off":
        return None
    if not (has_nvdec if present is None else present)():
        if wanted == "auto":
            return None
        raise DeviceError(
            "no GPU here decodes video (decode.hardware = cuda); use auto, or off for the CPU"
        )
    # Every video stream of an input gets a context: one that all share is all but free. FFmpeg
    # refuses it where another library, such as torch, has set it up in another way.
    options = _SHARED if decodes(_SHARED) else None
    return HWAccel(_DEVICE, allow_software_fallback=True, options=options)


@cache
def has_nvdec() -> bool:
    """Return whether FFmpeg and the driver can decode on a GPU; checked once a process."""
    return _DEVICE in hwdevices_available() and decodes()


def decodes(options: dict[str, object] | None = None) -> bool:
    """Return whether the GPU can be set up for decoding at this moment.

    Args:
        options: Of its context.
    """
    try:
        HWAccel(_DEVICE, options=options).create(Codec(_USUAL, "r"))
    except (FFmpegError, NotImplementedError, RuntimeError, ValueError):
        return False
    return True


HEAD_BYTES: Final = 4096


MOST_KEPT: Final = 64 << 20


class CountingReader:
    """Count what the demuxer reads of a byte stream, and replay it when asked.

    Args:
        stream: Where the bytes come from.

    Attributes:
        count: Bytes taken from it.
        head: The first of them, at most 4,096.
    """

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.count = 0
        self.head = b""
        self._kept: bytearray | None = None
        self._again = io.BytesIO()

    def keep(self) -> None:
        """Keep what is read from here on, for :meth:`rewind`; 64 MiB at most."""
        self._kept = None if self.seekable() else bytearray()

    def forget(self) -> None:
        """Stop keeping."""
        self._kept = None

    def rewind(self) -> bool:
        """Replay what was kept before anything else.

        Returns:
            False where it is not kept, or was too much.
        """
        if self.seekable():
            self.seek(0)
            return True
        if self._kept is None:
            return False
        self._again, self._kept = io.BytesIO(self._kept), None
        return True

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes.

        Args:
            size: At most so many bytes.

        Returns:
            What the stream gave; empty at its end.
        """
        if data := self._again.read(size):
            return data
        data = self._stream.read(size)
        if self.count < HEAD_BYTES:
            self.head += data[: HEAD_BYTES - self.count]
        self.count += len(data)
        if self._kept is not None:
            self._kept += data
            if len(self._kept) > MOST_KEPT:
                self._kept = None
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Seek to another byte, where the stream is seekable.

        Args:
            offset: Bytes.
            whence: 0 from the start, 1 from here, 2 from the end.
        """
        return cast("SeekableStream", self._stream).seek(offset, whence)

    def tell(self) -> int:
        """Return the offset of the next byte, where the stream is seekable."""
        return cast("SeekableStream", self._stream).tell()

    def seekable(self) -> bool:
        """Return whether the stream is seekable."""
        return self._stream.seekable()


def open_input(
    source: Source, opening: Opening, options: DecodeOptions, threads: list[threading.Thread]
) -> tuple[Demuxer, list[str]]:
    """Open a container.

    With ``auto``, an input is opened for the CPU where the GPU fails, or where there are several
    video streams: each would be set up on the GPU, and one is used.

    Args:
        source: Asked whether it was stopped.
        opening: How to reach it.
        options: Limits, and who decodes.
        threads: Takes threads that read, if there are any, also where opening fails.

    Returns:
        The container, and why the GPU is not used, in a line, where it should be.

    Raises:
        DeviceError: The GPU is insisted on and not there or fails.
        FFmpegError: The demuxer refuses the input.
        SourceError: What the source's own reading raised.
    """
    hardware = accelerator(options.hardware)
    if hardware is None:
        return open_demuxer(source, opening, options, threads), []
    insists, target = options.hardware == "cuda", opening.target
    if not insists and isinstance(target, str) and target.startswith("file:"):
        # A file costs nothing to look at first.
        plain = open_demuxer(source, opening, options, threads)
        several = _several(plain)
        if several is not None:
            return plain, [f"{several}; decoding on the CPU"]
        plain.close()
    if isinstance(target, CountingReader):
        target.keep()
    try:
        demuxer = open_demuxer(source, opening, options, threads, hardware)
    except FFmpegError:
        if decodes():
            raise
        why = "the GPU fails to decode video (decode.hardware)"
        if insists:
            raise DeviceError(f"{why}; use auto, or off for the CPU") from None
    else:
        several = _several(demuxer)
        if insists or several is None:
            if isinstance(target, CountingReader):
                target.forget()
            return demuxer, []
        demuxer.close()
        why = several
    if isinstance(target, CountingReader) and not target.rewind():
        raise DeviceError(f"{why}; too late for the CPU, set decode.hardware = off")
    return open_demuxer(source, opening, options, threads), [f"{why}; decoding on the CPU"]


def _several(demuxer: Demuxer) -> str | None:
    count = len(demuxer.container.streams.video)
    return f"has {count} video streams" if count > 1 else None
