"""Paint the pictures of one shot: a view of a place, a moving camera, people in front.

Everything that is the same in all frames of a shot is done once, in RGB, on a canvas of all that
the camera sees. A frame then costs one resampling of the canvas, in planar YUV 4:2:0, which the
encoder takes without conversion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamer.errors import ComposeError, extra
from streamer.lines import reason
from streamer.models.compose.library import Library
from streamer.models.compose.plan import Box, Figure, FilmPlan, Look, ShotPlan

with extra("train"):
    from PIL import Image, ImageFilter, ImageOps, ImageStat


CANVAS_LIMIT = 1.6
DARKEST = 58.0
# Luma and chroma of BT.601 from full range (what JPEG and Pillow hold) to 16 … 235 and 16 … 240.
VIDEO_RANGE = [round(16 + v * 219 / 255) for v in range(256)] + 2 * [
    round(128 + (v - 128) * 224 / 255) for v in range(256)
]
LARGEST_IMAGE = 64_000_000


@dataclass(frozen=True, slots=True)
class Planes:
    """Luma and both chroma planes (of half size) of a picture."""

    luma: Image.Image
    blue: Image.Image
    red: Image.Image


@dataclass(frozen=True, slots=True)
class Cutout:
    """Planes of a picture to paste over another, with mattes of both plane sizes."""

    planes: Planes
    matte: Image.Image
    half_matte: Image.Image

    def scaled(self, factor: float) -> Cutout:
        """Scale to another size; sides stay even."""
        width = max(2, round(self.matte.width * factor / 2) * 2)
        height = max(2, round(self.matte.height * factor / 2) * 2)
        full, half = (width, height), (width // 2, height // 2)
        bilinear = Image.Resampling.BILINEAR
        return Cutout(
            Planes(
                self.planes.luma.resize(full, bilinear),
                self.planes.blue.resize(half, bilinear),
                self.planes.red.resize(half, bilinear),
            ),
            self.matte.resize(full, bilinear),
            self.half_matte.resize(half, bilinear),
        )

    def paste_onto(self, under: Planes, x: int, y: int) -> None:
        """Paste it over other planes, its left upper corner at ``(x, y)``."""
        under.luma.paste(self.planes.luma, (x, y), self.matte)
        under.blue.paste(self.planes.blue, (x // 2, y // 2), self.half_matte)
        under.red.paste(self.planes.red, (x // 2, y // 2), self.half_matte)


def load_picture(path: Path, mode: str = "RGB") -> Image.Image:
    """Read a picture of bounded size.

    Raises:
        ComposeError: It is missing, damaged or too large.
    """
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > LARGEST_IMAGE:
                raise ComposeError(f"{path}: more than {LARGEST_IMAGE} pixels")
            return picture.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ComposeError(f"{path}: not a readable picture: {reason(error)}") from error


def grade(picture: Image.Image, look: Look) -> Image.Image:
    """Apply colour grading: saturation and gains, then one tone curve."""
    s = look.saturation
    weights = (0.299, 0.587, 0.114)
    matrix = []
    for row, gain in enumerate(look.gains):
        matrix += [gain * ((1 - s) * w + (s if row == i else 0.0)) for i, w in enumerate(weights)]
        matrix.append(0.0)
    curve = []
    for value in range(256):
        v = (value / 255) ** look.gamma
        v = (v - 0.5) * look.contrast + 0.5 + look.lift
        curve.append(round(255 * min(max(v, 0.0), 1.0)))
    return picture.convert("RGB", tuple(matrix)).point(curve * 3)


def to_planes(picture: Image.Image) -> Planes:
    """Convert an RGB picture of even size to video-range planes."""
    luma, blue, red = picture.convert("YCbCr").point(VIDEO_RANGE).split()
    return Planes(luma, blue.reduce(2), red.reduce(2))


class ShotPainter:
    """Paints any frame of one shot, also a little before its start and after its end.

    Args:
        film: The film.
        shot: The shot.
        library: Media with its places and people.

    Raises:
        ComposeError: A picture cannot be read.
    """

    def __init__(self, film: FilmPlan, shot: ShotPlan, library: Library) -> None:
        self._width, self._height = film.width, film.height
        self._rate = float(film.rate)
        self._shot = shot
        place = next(p for p in library.places if p.name == shot.place)
        view = load_picture(place.views[shot.view])
        if shot.mirrored:
            view = ImageOps.mirror(view)
        bars = max(0.0, film.height - film.width / film.style.shape) / 2
        self._floor, self._visible = film.height - round(bars), film.height - 2 * bars
        self._frame_boxes(view, film.style.squeeze)
        self._canvas(view)
        people = {p.name: p for p in library.people}
        self._figures = [
            (f, self._figure(f, people[f.person].portraits[f.portrait])) for f in shot.figures
        ]
        self._still: Planes | None = None

    def paint(self, frame: int) -> NDArray[np.uint8]:
        """Paint one frame.

        Args:
            frame: Index from the shot's first frame; may be outside the shot.

        Returns:
            Planar YUV 4:2:0 in video range.

        Shape:
            ``(height * 3 // 2, width)``
        """
        box = self._box_at(frame)
        planes = self._background(box)
        if self._figures:
            planes = Planes(planes.luma.copy(), planes.blue.copy(), planes.red.copy())
            for figure, patch in self._figures:
                self._place_figure(planes, figure, patch, frame, box)
        flash = self._flash(frame)
        out = np.empty((self._height * 3 // 2, self._width), np.uint8)
        luma = np.asarray(planes.luma)
        if flash:
            luma = (luma + (235.0 - luma) * flash).astype(np.uint8)
        out[: self._height] = luma
        chroma = out[self._height :].reshape(2, self._height // 2, self._width // 2)
        chroma[0], chroma[1] = np.asarray(planes.blue), np.asarray(planes.red)
        return out

    def _frame_boxes(self, view: Image.Image, squeeze: float) -> None:
        shape = self._width / self._height / squeeze
        self._view_size = view.size
        self._full = min(view.width, view.height * shape)
        self._shape = shape

    def _rectangle(
        self, box: Box, dx: float = 0.0, dy: float = 0.0
    ) -> tuple[float, float, float, float]:
        width = self._full / max(box.zoom, 1.0)
        height = width / self._shape
        total_width, total_height = self._view_size
        left = min(max((box.x + dx) * total_width - width / 2, 0.0), total_width - width)
        top = min(max((box.y + dy) * total_height - height / 2, 0.0), total_height - height)
        return left, top, left + width, top + height

    def _canvas(self, view: Image.Image) -> None:
        move = self._shot.move
        margin = 2.0 * move.shake
        corners = [
            self._rectangle(box, sx * margin, sy * margin)
            for box in (move.begin, move.end)
            for sx in (-1, 1)
            for sy in (-1, 1)
        ]
        left, top = min(c[0] for c in corners), min(c[1] for c in corners)
        right = min(max(c[2] for c in corners), view.width)
        bottom = min(max(c[3] for c in corners), view.height)
        scale = min(
            self._width / min(c[2] - c[0] for c in corners),
            CANVAS_LIMIT * self._width / (right - left),
        )
        # The vertical scale undoes the squeeze, so that a box is a crop of the film's shape.
        tall = scale * self._shape / (self._width / self._height)
        width = max(2, round((right - left) * scale / 2) * 2)
        height = max(2, round((bottom - top) * tall / 2) * 2)
        canvas = view.resize(
            (width, height), Image.Resampling.BICUBIC, box=(left, top, right, bottom)
        )
        if self._shot.blur:
            radius = self._shot.blur * self._width / 1000
            canvas = canvas.filter(ImageFilter.GaussianBlur(radius))
        # Raise the exposure of dark views as a camera would, before the tone curve.
        expected = sum(ImageStat.Stat(canvas).mean) * sum(self._shot.look.gains) / 9
        if expected < DARKEST:
            exposure = min(DARKEST / max(expected, 1.0), 4.0)
            canvas = canvas.point([min(255, round(v * exposure)) for v in range(256)] * 3)
        canvas = grade(canvas, self._shot.look)
        self._planes = to_planes(canvas)
        red, green, blue = (v + 20.0 for v in ImageStat.Stat(canvas).mean)
        grey = (red + green + blue) / 3
        # Match brightness and tint of people to the place.
        level = min(max((grey / 110.0) ** 0.3, 0.6), 1.1)
        gains = [level * (c / grey) ** 0.4 for c in (red, green, blue)]
        self._ambient_light = (
            *(gains[0], 0.0, 0.0, 0.0),
            *(0.0, gains[1], 0.0, 0.0),
            *(0.0, 0.0, gains[2], 0.0),
        )
        self._origin = (left, top)
        self._scale = (width / (right - left), height / (bottom - top))

    def _box_at(self, frame: int) -> tuple[float, float, float, float]:
        move = self._shot.move
        t = min(max(frame / max(self._shot.frames - 1, 1), 0.0), 1.0)
        t = t * t * (3 - 2 * t) if move.shake == 0 else t
        begin, end = self._rectangle(move.begin), self._rectangle(move.end)
        left, top, right, bottom = (a + (b - a) * t for a, b in zip(begin, end, strict=True))
        if move.shake:
            seconds = frame / self._rate
            dx = self._tremor(seconds, 0) * self._view_size[0]
            dy = self._tremor(seconds, 2) * self._view_size[1]
            dx = min(max(dx, -left), self._view_size[0] - right)
            dy = min(max(dy, -top), self._view_size[1] - bottom)
            left, right, top, bottom = left + dx, right + dx, top + dy, bottom + dy
        (x, y), (across, down) = self._origin, self._scale
        width, height = self._planes.luma.size
        return (
            max((left - x) * across, 0.0),
            max((top - y) * down, 0.0),
            min((right - x) * across, width),
            min((bottom - y) * down, height),
        )

    def _tremor(self, seconds: float, axis: int) -> float:
        a, b = self._shot.move.phases[axis : axis + 2]
        slow = math.sin(2 * math.pi * (0.37 * seconds + a))
        fast = math.sin(2 * math.pi * (1.13 * seconds + b))
        return self._shot.move.shake * (slow + 0.45 * fast)

    def _background(self, box: tuple[float, float, float, float]) -> Planes:
        move = self._shot.move
        moving = move.shake > 0 or move.begin != move.end
        if not moving and self._still is not None:
            return self._still
        size, half = (self._width, self._height), (self._width // 2, self._height // 2)
        source = self._planes
        limit = source.blue.size
        half_box = (
            box[0] / 2,
            box[1] / 2,
            min(box[2] / 2, limit[0]),
            min(box[3] / 2, limit[1]),
        )
        bilinear = Image.Resampling.BILINEAR
        planes = Planes(
            source.luma.resize(size, bilinear, box),
            source.blue.resize(half, bilinear, half_box),
            source.red.resize(half, bilinear, half_box),
        )
        if not moving:
            self._still = planes
        return planes

    def _figure(self, figure: Figure, portrait: tuple[Path, Path]) -> Cutout:
        picture, matte = load_picture(portrait[0]), load_picture(portrait[1], "L")
        if matte.size != picture.size:
            matte = matte.resize(picture.size)
        # Portraits have a rim of their bright studio background.
        matte = matte.filter(ImageFilter.MinFilter(5))
        height = max(8, round(figure.height * self._visible / 2) * 2)
        width = max(8, round(height * picture.width / picture.height / 2) * 2)
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        matte = matte.resize((width, height), Image.Resampling.BICUBIC)
        if figure.mirrored:
            picture, matte = ImageOps.mirror(picture), ImageOps.mirror(matte)
        if figure.back:
            picture = Image.new("RGB", picture.size, tuple(round(45 * c) for c in figure.cloth))
            matte = matte.filter(ImageFilter.GaussianBlur(self._width / 90))
        else:
            picture = dye(picture, figure.cloth)
        picture = grade(picture, self._shot.look).convert("RGB", self._ambient_light)
        return Cutout(to_planes(picture), matte, matte.reduce(2))

    def _place_figure(
        self,
        planes: Planes,
        figure: Figure,
        patch: Cutout,
        frame: int,
        box: tuple[float, float, float, float],
    ) -> None:
        seconds = frame / self._rate
        sway = figure.sway * (
            math.sin(2 * math.pi * (0.19 * seconds + figure.phase))
            + 0.5 * math.sin(2 * math.pi * (0.53 * seconds + 3.1 * figure.phase))
        )
        first = self._box_at(0)
        # Figures shift and grow with the camera, but less than the crop does.
        drift = 0.4 * (first[0] - box[0]) / self._planes.luma.width
        growth = 1.0 + 0.7 * ((first[2] - first[0]) / (box[2] - box[0]) - 1.0)
        if abs(growth - 1.0) > 0.004:
            patch = patch.scaled(growth)
        x = round((figure.x + sway + drift) * self._width - patch.matte.width / 2)
        below = max(0.0, figure.height - 1.1) + 0.3 * abs(sway)
        y = self._floor - patch.matte.height + round(self._visible * below)
        patch.paste_onto(planes, x, y)

    def _flash(self, frame: int) -> float:
        for first, frames in self._shot.flashes:
            if first <= frame < first + frames:
                return 0.85 - 0.2 * (frame - first)
        return 0.0


def dye(picture: Image.Image, cloth: tuple[float, float, float]) -> Image.Image:
    """Colour white clothes in the lower part of a portrait, without skin and hair."""
    if cloth == (1.0, 1.0, 1.0):
        return picture
    pixels = np.asarray(picture, np.float32)
    rows = np.linspace(0.0, 1.0, pixels.shape[0], dtype=np.float32)[:, None]
    white = np.clip((pixels.min(axis=2) - 105.0) / 50.0, 0.0, 1.0)
    white *= np.clip((rows - 0.66) / 0.08, 0.0, 1.0)
    factor = 1.0 + white[..., None] * (np.asarray(cloth, np.float32) - 1.0)
    return Image.fromarray((pixels * factor).astype(np.uint8))
