"""Joins shots to a film's pictures: cuts, dissolves, fades, wipes, grain and bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamer.errors import extra
from streamer.models.compose.paint import ShotPainter

with extra("train"):
    from PIL import Image, ImageChops

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from streamer.models.compose.library import Library
    from streamer.models.compose.plan import FilmPlan, ShotPlan

GRAIN_MARGIN = 64


def mixture(position: int, boundary: int, before: int, after: int) -> float:
    """Share of the new shot during a transition.

    Args:
        position: A frame of the film.
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
    """Linear mix of two pictures.

    Args:
        first: uint8, of any shape.
        second: uint8, of the same shape.
        share: Of the second, within [0, 1]; rounded to 1/256.

    Returns:
        The mix, rounded down.

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
        library: Where places and people are looked up.
    """

    def __init__(self, film: FilmPlan, library: Library) -> None:
        self._film = film
        self._library = library
        self._rng = np.random.default_rng([*film.seed, 2])
        self._grain = self._draw_grain()
        self._black = self._plain(16)
        self._white = self._plain(235)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yields planar YUV 4:2:0, ``(height * 3 // 2, width)`` a picture."""
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
        share = mixture(position, shot.first, transition.before, transition.after)
        if transition.kind == "dissolve":
            return blend(older, newer, share)
        if transition.kind == "wipe":
            return self._wiped(older, newer, share)
        # A fade reaches the plain colour in the middle, from either side.
        if position < shot.first:
            return blend(older, newer, 2.0 * share)
        return blend(older, newer, 2.0 * share - 1.0)

    def _wiped(
        self, older: NDArray[np.uint8], newer: NDArray[np.uint8], share: float
    ) -> NDArray[np.uint8]:
        """The new shot's left part over the old one."""
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
