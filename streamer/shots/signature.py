"""Reduce frames to thumbnails, and measure how different two are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    import av
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray


ROWS: Final = 18
COLUMNS: Final = 32
CHROMA_ROWS: Final = 9
CHROMA_COLUMNS: Final = 16
_SAMPLES: Final = 8
_SMALL: Final = (COLUMNS * _SAMPLES, ROWS * _SAMPLES)

# Planar 8-bit formats whose planes are read in place: how many chroma samples a luma sample has.
_IN_PLACE: Final = frozenset(
    {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "gray", "nv12"}
)
_PAIRED: Final = "nv12"


@dataclass(frozen=True, slots=True)
class Signature:
    """A frame pooled to thumbnail size; the whole width and height whatever their ratio.

    Attributes:
        luma: Float32 ``(18, 32)`` in [0, 255].
        chroma: Float32 ``(2, 9, 16)`` in [0, 255], 128 is grey.
    """

    luma: NDArray[np.float32]
    chroma: NDArray[np.float32]


class Signer:
    """Make signatures; keeps only a scaler's buffers between frames.

    Frames in a planar 8-bit format, or in NV12 as GPUs decode, are pooled straight from the
    decoder's memory, on a grid of 144 × 256 samples; all others go through a scaler first.
    """

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def sign(self, frame: av.VideoFrame) -> Signature:
        """Pool one frame.

        Args:
            frame: Any size and pixel format; it is not changed.

        Returns:
            Its signature: a pure function of the frame.
        """
        in_place = frame.format.name in _IN_PLACE and min(p.line_size for p in frame.planes) > 0
        if not in_place:
            frame = self._scaler.reformat(
                frame, _SMALL[0], _SMALL[1], "yuv420p", interpolation="BILINEAR", threads=1
            )
        planes = frame.planes
        luma = _pool(_pixels(planes[0]), ROWS, COLUMNS)
        if frame.format.name == _PAIRED:
            pairs = _pixels(planes[1], 2)
            chroma = [_pool(pairs[:, which::2], CHROMA_ROWS, CHROMA_COLUMNS) for which in (0, 1)]
            return Signature(luma, np.stack(chroma))
        if len(planes) < 3:
            grey = np.full((2, CHROMA_ROWS, CHROMA_COLUMNS), 128, np.float32)
            return Signature(luma, grey)
        chroma = [_pool(_pixels(p), CHROMA_ROWS, CHROMA_COLUMNS) for p in planes[1:3]]
        return Signature(luma, np.stack(chroma))


def _pixels(plane: VideoPlane, samples: int = 1) -> NDArray[np.uint8]:
    """View a plane as ``(height, width × samples)``, without a copy."""
    flat: NDArray[np.uint8] = np.frombuffer(
        memoryview(plane), np.uint8, plane.height * plane.line_size
    )
    return flat.reshape(plane.height, plane.line_size)[:, : plane.width * samples]


def _pool(pixels: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.float32]:
    height, width = pixels.shape
    grid = pixels[_spread(rows * _SAMPLES, height)].take(_spread(columns * _SAMPLES, width), axis=1)
    # Rows first: their sums run along memory, and what is left to add up is small.
    summed = grid.reshape(rows, _SAMPLES, -1).sum(axis=1, dtype=np.uint32)
    blocks = summed.reshape(rows, columns, _SAMPLES).sum(axis=2, dtype=np.uint32)
    means: NDArray[np.float32] = (blocks / _SAMPLES**2).astype(np.float32)
    return means


def _spread(count: int, length: int) -> NDArray[np.int64]:
    """Return the pixels nearest to ``count`` evenly spread points of a line."""
    places: NDArray[np.int64] = (2 * np.arange(count) + 1) * length // (2 * count)
    return places


# Grey levels squared: contrast below about four levels is noise and correlates with anything.
_NOISE = 16.0
_STILL = 0.05
_FLAT_CONTRAST = 6.0
_MOST = 0.8
# Luma of what counts as black, of a dark and of a bright frame; video black is 16.
_BLACK, _DARK, _BRIGHT = 24.0, 40.0, 210.0


def unlikeness(first: Signature, second: Signature) -> float:
    """Return one minus the correlation of two thumbnails, at the best of 15 small shifts.

    Args:
        first: A frame.
        second: A later frame.

    Returns:
        0 for the same content however lit, about 1 for contents that have nothing in common,
        at most 2.
    """
    plain = 1.0 - _correlation(first.luma, second.luma)
    # Shifts cost ten times as much and cannot change a small value by much.
    return plain if plain < _STILL else min(plain, 1.0 - _best_shift(first.luma, second.luma))


def lit(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark cells that are not black in both thumbnails, so that letterbox bars do not count.

    Args:
        first: Luma of one frame, ``(rows, columns)`` in [0, 255].
        second: Luma of another, of the same shape.

    Returns:
        A mask ``(rows, columns)``, true where either is brighter than black.
    """
    return np.maximum(first, second) > _BLACK


def is_flat(picture: Signature) -> bool:
    """Return whether a frame is nothing but black or white, as in the middle of a fade."""
    luma = picture.luma
    mean = float(luma.mean())
    if mean < _DARK:
        return float(luma.std()) < _FLAT_CONTRAST
    if mean < _BRIGHT / 2:
        return False
    shown = luma[luma > _BLACK]
    level = float(np.median(shown))
    if level < _BRIGHT or shown.size < luma.size // 2:
        return False
    # Cells on the edge of a letterbox are neither black nor white.
    return float((np.abs(shown - level) < _FLAT_CONTRAST).mean()) > _MOST


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    mask = lit(first, second)
    a, b = first[mask], second[mask]
    size = a.size
    if size == 0:
        return 1.0
    a, b = a - a.mean(), b - b.mean()
    covariance = float(a @ b) / size
    spread = (float(a @ a) / size + _NOISE) * (float(b @ b) / size + _NOISE)
    return (covariance + _NOISE) / math.sqrt(spread)


def _best_shift(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    rows, columns = second.shape
    inner = (slice(1, rows - 1), slice(2, columns - 2))
    mask = lit(first[inner], second[inner])
    still = second[inner][mask]
    size = still.size
    if size == 0:
        return 1.0
    centred = still - still.mean()
    variance = float(centred @ centred) / size + _NOISE
    windows = np.lib.stride_tricks.sliding_window_view(first, mask.shape)[:, :, mask]
    shifted = windows.reshape(-1, size)
    means = shifted.mean(axis=1)
    spreads = np.einsum("ij,ij->i", shifted, shifted) / size - means * means + _NOISE
    covariances = shifted @ centred / size
    return float(((covariances + _NOISE) / np.sqrt(spreads * variance)).max())
