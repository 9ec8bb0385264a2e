"""One resize per target size, whatever the number of extractors."""

from __future__ import annotations

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
    """

    def __init__(self, height: int, width: int) -> None:
        self._height, self._width = height, width
        self._reformatter = VideoReformatter()

    def __call__(self, picture: Picture) -> torch.Tensor:
        """Returns uint8 RGB ``(3, height, width)``; rotation metadata is applied."""
        turns = round(picture.frame.rotation / 90) % 4
        height, width = self._height, self._width
        if turns % 2:
            height, width = width, height
        small = self._reformatter.reformat(
            picture.frame, width=width, height=height, format="rgb24", interpolation="BICUBIC"
        )
        upright = np.rot90(small.to_ndarray(), turns)
        return torch.from_numpy(np.ascontiguousarray(upright.transpose(2, 0, 1)))
