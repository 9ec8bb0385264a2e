"""A few numbers that stand for a picture when shots are told apart."""

from __future__ import annotations

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
    """A picture pooled to thumbnail size; the whole width and height whatever their ratio.

    Attributes:
        luma: Float32 ``(18, 32)`` in [0, 255].
        chroma: Float32 ``(2, 9, 16)`` in [0, 255], 128 is grey.
    """

    luma: NDArray[np.float32]
    chroma: NDArray[np.float32]


class Signer:
    """Makes signatures; keeps only a scaler's buffers between pictures.

    Pictures in a planar 8-bit format, or in NV12 as GPUs decode, are pooled straight from the
    decoder's memory, on a grid of 144 × 256 samples; all others go through a scaler first.
    """

    def __init__(self) -> None:
        self._scaler = VideoReformatter()

    def sign(self, frame: av.VideoFrame) -> Signature:
        """Pools one picture.

        Args:
            frame: Any size and pixel format; it is not changed.

        Returns:
            Its signature: a pure function of the picture.
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
    """A plane as ``(height, width × samples)``, in place."""
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
    """The pixels nearest to ``count`` evenly spread points of a line."""
    places: NDArray[np.int64] = (2 * np.arange(count) + 1) * length // (2 * count)
    return places
