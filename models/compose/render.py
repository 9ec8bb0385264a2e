"""Render a planned film: join and finish its pictures, encode picture and sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from numpy.typing import NDArray

from streamer.errors import ComposeError, extra
from streamer.lines import reason
from streamer.models.compose.audio import SoundMixer
from streamer.models.compose.library import Library
from streamer.models.compose.paint import ShotPainter
from streamer.models.compose.plan import FilmPlan, ShotPlan

with extra("train"):
    from PIL import Image, ImageChops

GRAIN_MARGIN = 64


def blend_share(position: int, boundary: int, before: int, after: int) -> float:
    """Compute the share of the new shot during a transition.

    Args:
        position: Frame of the film.
        boundary: First frame of the new shot.
        before: Frames of the transition before it.
        after: Frames of the transition from it on.

    Returns:
        Below one half before the boundary, above it from the boundary on; in (0, 1).
    """
    if position < boundary:
        return 0.5 * (position - (boundary - before) + 1) / (before + 1)
    return 0.5 + 0.5 * (position - boundary + 1) / (after + 1)


def blend(first: NDArray[np.uint8], second: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    """Blend two pictures linearly, rounding down.

    Args:
        first: uint8, of any shape.
        second: uint8, of the same shape.
        share: Share of the second, within [0, 1]; rounded to 1/256.

    Shape:
        That of both.
    """
    weight = round(256 * share)
    mixed = first.astype(np.uint16) * np.uint16(256 - weight)
    mixed += second.astype(np.uint16) * np.uint16(weight)
    return (mixed >> 8).astype(np.uint8)


class Pictures:
    """All pictures of a film, in order.

    Args:
        film: The plan.
        library: Media with its places and people.
    """

    def __init__(self, film: FilmPlan, library: Library) -> None:
        self._film = film
        self._library = library
        self._rng = np.random.default_rng([*film.seed, 2])
        self._grain = self._draw_grain()
        self._black = self._plain(16)
        self._white = self._plain(235)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield planar YUV 4:2:0, ``(height * 3 // 2, width)`` a picture."""
        shots = self._film.shots
        last: ShotPainter | None = None
        painter = self._painter(shots[0])
        for index, shot in enumerate(shots):
            following = shots[index + 1] if index + 1 < len(shots) else None
            coming: ShotPainter | None = None
            for position in range(shot.first, shot.end):
                picture = painter.paint(position - shot.first)
                if last is not None and position - shot.first < shot.transition.after:
                    previous = shots[index - 1]
                    older = self._other(shot, last, position - previous.first)
                    picture = self._join(shot, position, older, picture)
                elif following is not None and position >= shot.end - following.transition.before:
                    coming = coming or self._painter(following)
                    newer = self._other(following, coming, position - following.first)
                    picture = self._join(following, position, picture, newer)
                yield self._finish(picture)
            if following is not None:
                last, painter = painter, coming or self._painter(following)

    def _painter(self, shot: ShotPlan) -> ShotPainter:
        return ShotPainter(self._film, shot, self._library)

    def _other(self, shot: ShotPlan, painter: ShotPainter, frame: int) -> NDArray[np.uint8]:
        kind = shot.transition.kind
        if kind == "fade_black":
            return self._black
        if kind == "fade_white":
            return self._white
        return painter.paint(frame)

    def _join(
        self,
        shot: ShotPlan,
        position: int,
        older: NDArray[np.uint8],
        newer: NDArray[np.uint8],
    ) -> NDArray[np.uint8]:
        transition = shot.transition
        share = blend_share(position, shot.first, transition.before, transition.after)
        if transition.kind == "dissolve":
            return blend(older, newer, share)
        if transition.kind == "wipe":
            return self._wiped(older, newer, share)
        # A fade reaches the plain colour in its middle.
        if position < shot.first:
            return blend(older, newer, 2.0 * share)
        return blend(older, newer, 2.0 * share - 1.0)

    def _wiped(
        self, older: NDArray[np.uint8], newer: NDArray[np.uint8], share: float
    ) -> NDArray[np.uint8]:
        """Paste the new shot's left part over the old one."""
        height, width = self._film.height, self._film.width
        edge = round(share * width / 2)
        picture = older.copy()
        picture[:height, : 2 * edge] = newer[:height, : 2 * edge]
        halves = (height // 2, 2, width // 2)
        picture[height:].reshape(halves)[:, :, :edge] = newer[height:].reshape(halves)[:, :, :edge]
        return picture

    def _plain(self, luma: int) -> NDArray[np.uint8]:
        height, width = self._film.height, self._film.width
        picture = np.full((height * 3 // 2, width), 128, np.uint8)
        picture[:height] = luma
        return picture

    def _draw_grain(self) -> Image.Image | None:
        if self._film.style.grain <= 0:
            return None
        shape = (self._film.height + GRAIN_MARGIN, self._film.width + GRAIN_MARGIN)
        noise = self._rng.normal(128.0, self._film.style.grain, shape)
        return Image.fromarray(np.clip(np.round(noise), 0, 255).astype(np.uint8))

    def _finish(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = self._film.height, self._film.width
        picture = picture.copy() if picture is self._black or picture is self._white else picture
        if self._grain is not None:
            x, y = (int(v) for v in self._rng.integers(GRAIN_MARGIN, size=2))
            noise = self._grain.crop((x, y, x + width, y + height))
            luma = Image.fromarray(picture[:height])
            picture[:height] = np.asarray(ImageChops.add(luma, noise, 1, -128))
        self._bars(picture)
        return picture

    def _bars(self, picture: NDArray[np.uint8]) -> None:
        height, width, shape = self._film.height, self._film.width, self._film.style.shape
        chroma = picture[height:].reshape(2, height // 2, width // 2)
        rows = round((height - width / shape) / 4)
        columns = round((width - height * shape) / 4)
        if rows > 1:
            picture[: 2 * rows] = picture[height - 2 * rows : height] = 16
            chroma[:, :rows] = chroma[:, -rows:] = 128
        elif columns > 1:
            picture[:height, : 2 * columns] = picture[:height, width - 2 * columns :] = 16
            chroma[:, :, :columns] = chroma[:, :, -columns:] = 128


ENCODERS = {"aac": "aac", "mp3": "libmp3lame"}


def write_film(
    film: FilmPlan, library: Library, path: Path, advance: Callable[[int], None] | None = None
) -> None:
    """Render a film: H.264 with AAC or MP3 in MP4.

    Args:
        film: The plan.
        library: Media with its places and people.
        path: File to write; its name ends in ``.mp4``.
        advance: Called with the number of pictures done, about once a second of film.

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
    # One thread: the bits must not depend on the machine's number of cores.
    video.codec_context.thread_count = 1
    video.options = {
        "preset": style.preset,
        "crf": str(style.crf),
        "bf": str(style.b_frames),
        "g": str(round(film.rate * 4)),
    }
    sound = _add_sound(film, container)
    step = max(1, round(film.rate))
    blocks = None if sound is None else SoundMixer(film).blocks(step)
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
