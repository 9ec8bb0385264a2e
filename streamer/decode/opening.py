"""Opening an input with the help of a GPU where that is wanted and works."""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.error import FFmpegError

from streamer.decode.demux import open_demuxer
from streamer.decode.hardware import accelerator, decodes
from streamer.decode.reader import CountingReader
from streamer.errors import DeviceError

if TYPE_CHECKING:
    import threading

    from streamer.connectors.sources.source import Opening, Source
    from streamer.decode.demux import Demuxer
    from streamer.decode.streams import DecodeOptions


def open_input(
    source: Source, opening: Opening, options: DecodeOptions, threads: list[threading.Thread]
) -> tuple[Demuxer, list[str]]:
    """Opens a container.

    With ``auto``, an input is opened for the CPU where the GPU fails, or where there are several
    picture streams: each would be set up on the GPU, and one is used.

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
    return f"has {count} picture streams" if count > 1 else None
