"""One resize per target size, whatever the number of extractors."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    from streamer.timeline import Picture


class Resizer:
    """Resizes and turns pictures upright, for one target size.

    Args:
        height: Pixels.
        width: Pixels.
        grey: One channel instead of RGB.
        keep_aspect: Fit into the upper left corner, black elsewhere, instead of stretching.
    """

    def __init__(
        self, height: int, width: int, *, grey: bool = False, keep_aspect: bool = False
    ) -> None:
        self._height, self._width = height, width
        self._format = "gray" if grey else "rgb24"
        self._keep_aspect = keep_aspect
        self._reformatter = VideoReformatter()

    def __call__(self, picture: Picture) -> torch.Tensor:
        """Returns uint8 ``(3 or 1, height, width)``; rotation metadata is applied."""
        frame = picture.frame
        turns = round(frame.rotation / 90) % 4
        shown = (frame.width, frame.height) if turns % 2 else (frame.height, frame.width)
        height, width = self._fitted(*shown)
        across, down = (height, width) if turns % 2 else (width, height)
        small = self._reformatter.reformat(
            frame,
            width=across,
            height=down,
            format=self._format,
            interpolation="BICUBIC",
            # Without a number, a thread a core for every size of every stream.
            threads=1,
        )
        upright = np.atleast_3d(np.rot90(small.to_ndarray(), turns)).transpose(2, 0, 1)
        if (height, width) == (self._height, self._width):
            return torch.from_numpy(np.ascontiguousarray(upright))
        whole = torch.zeros(len(upright), self._height, self._width, dtype=torch.uint8)
        whole[:, :height, :width] = torch.from_numpy(np.ascontiguousarray(upright))
        return whole

    def _fitted(self, height: int, width: int) -> tuple[int, int]:
        if not self._keep_aspect:
            return self._height, self._width
        scale = min(Fraction(self._height, height), Fraction(self._width, width))
        return max(1, round(height * scale)), max(1, round(width * scale))
