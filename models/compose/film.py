"""Encodes a planned film: H.264 with AAC or MP3 in MP4."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

from streamer.errors import ComposeError
from streamer.lines import reason
from streamer.models.compose.frames import Pictures
from streamer.models.compose.mix import Mixer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from numpy.typing import NDArray

    from streamer.models.compose.library import Library
    from streamer.models.compose.plan import FilmPlan

ENCODERS = {"aac": "aac", "mp3": "libmp3lame"}


def write_film(
    film: FilmPlan, library: Library, path: Path, advance: Callable[[int], None] | None = None
) -> None:
    """Draws, mixes and encodes a film.

    Args:
        film: The plan.
        library: Where its places and people are found.
        path: File to write; its name ends in ``.mp4``.
        advance: Told the number of pictures done, about once a second of film.

    Raises:
        ComposeError: A source cannot be read or the file cannot be written.
    """
    try:
        with av.open(path, "w", options={"movflags": "+faststart"}) as container:
            _encode(film, library, container, advance)
    except (av.FFmpegError, OSError) as error:
        raise ComposeError(f"{path}: cannot be written: {reason(error)}") from error


def _encode(
    film: FilmPlan,
    library: Library,
    container: OutputContainer,
    advance: Callable[[int], None] | None,
) -> None:
    style = film.style
    video = container.add_stream("libx264", rate=film.rate)
    video.width, video.height, video.pix_fmt = film.width, film.height, "yuv420p"
    video.time_base = 1 / film.rate
    video.codec_context.time_base = 1 / film.rate
    # One thread: the bits must not depend on how many cores a machine has.
    video.codec_context.thread_count = 1
    video.options = {
        "preset": style.preset,
        "crf": str(style.crf),
        "bf": str(style.b_frames),
        "g": str(round(film.rate * 4)),
    }
    sound = _add_sound(film, container)
    step = max(1, round(film.rate))
    blocks = None if sound is None else Mixer(film).blocks(step)
    written = 0
    for position, picture in enumerate(Pictures(film, library)):
        if position % step == 0:
            if sound is not None and blocks is not None:
                block = next(blocks)
                _encode_sound(container, sound, block, written, style.sample_rate)
                written += block.shape[1]
            if advance is not None:
                advance(position)
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = position, 1 / film.rate
        container.mux(video.encode(frame))
    container.mux(video.encode(None))
    if sound is not None:
        container.mux(sound.encode(None))
    if advance is not None:
        advance(film.frames)


def _add_sound(film: FilmPlan, container: OutputContainer) -> AudioStream | None:
    style = film.style
    if style.sound == "none":
        return None
    sound = container.add_stream(
        ENCODERS[style.sound_codec],
        rate=style.sample_rate,
        layout="stereo" if style.stereo else "mono",
    )
    assert isinstance(sound, av.AudioStream)
    sound.bit_rate = style.bit_rate
    if style.sound_codec == "aac":
        sound.options = {"aac_coder": "fast"}
    return sound


def _encode_sound(
    container: OutputContainer,
    sound: AudioStream,
    block: NDArray[np.float32],
    position: int,
    rate: int,
) -> None:
    if not block.shape[1]:
        return
    layout = "mono" if block.shape[0] == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block), "fltp", layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, position, Fraction(1, rate)
    container.mux(sound.encode(frame))
