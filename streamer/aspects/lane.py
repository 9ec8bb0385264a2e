"""One extractor at work on the current shot."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from numpy.typing import NDArray

    from streamer.extractor import Extractor


@dataclass(slots=True)
class Lane:
    """Collects pieces into batches and batches into the tokens of one shot.

    Attributes:
        extractor: Who embeds.
        batch: Pieces embedded together; 1 gives the lowest latency.
    """

    extractor: Extractor
    batch: int
    _waiting: list[torch.Tensor] = field(default_factory=list)
    _tokens: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, piece: torch.Tensor) -> None:
        """Takes the shot's next piece, one row of what `Extractor.embed` takes."""
        self._waiting.append(piece)
        if len(self._waiting) >= self.batch:
            self._embed()

    def add_last(self, piece: torch.Tensor) -> None:
        """Takes the shot's last piece, of the same shape, which `close` will embed."""
        self._waiting.append(piece)

    def close(self) -> NDArray[np.float32] | None:
        """Ends the shot and starts the next.

        Returns:
            Its tokens, finite float32 ``(tokens, dim)``; None when it gave none.
        """
        self._embed()
        tokens, self._tokens = self._tokens, []
        return np.concatenate(tokens) if tokens else None

    def _embed(self) -> None:
        if self._waiting:
            with torch.inference_mode():
                rows = self.extractor.embed(torch.stack(self._waiting)).float().cpu().numpy()
            self._waiting.clear()
            observed = rows[~np.isnan(rows).all(axis=1)]
            if len(observed):
                self._tokens.append(observed)


def close_all(lanes: list[Lane], pool: Executor | None = None) -> dict[str, NDArray[np.float32]]:
    """Closes a shot on every lane.

    Args:
        lanes: Of one stream.
        pool: Threads to embed the last pieces on side by side, when the shot's end is urgent.

    Returns:
        Aspect → tokens ``(tokens, dim)``, without the aspects that gave none.
    """
    run = map if pool is None else pool.map
    closed = zip(lanes, run(Lane.close, lanes), strict=True)
    return {lane.extractor.aspect: tokens for lane, tokens in closed if tokens is not None}
