"""One annotated movie: shots, scene boundaries and aspect tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class AspectTokens:
    """Tokens of one aspect, those of all shots end to end.

    Attributes:
        tokens: Float32 ``(total, dim)``.
        offsets: Int64 ``(shots + 1,)``: shot ``i`` has rows ``offsets[i] … offsets[i + 1] - 1``,
            none when it lacks the aspect.
    """

    tokens: NDArray[np.float32]
    offsets: NDArray[np.int64]

    @property
    def dim(self) -> int:
        """Length of a token."""
        return int(self.tokens.shape[1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each shot, ``(shots,)``."""
        return np.diff(self.offsets)

    def shot(self, index: int) -> NDArray[np.float32]:
        """Tokens of one shot, ``(n, dim)``, n ≥ 0."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]

    @classmethod
    def from_shots(cls, shots: Sequence[NDArray[np.floating] | None], dim: int) -> AspectTokens:
        """Joins the tokens of shots.

        Args:
            shots: Per shot ``(n, dim)``; None or no rows where the aspect is missing.
            dim: Length of a token.
        """
        rows = [np.zeros((0, dim)) if shot is None else shot for shot in shots]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        tokens = np.concatenate(rows) if rows else np.zeros((0, dim))
        return cls(np.ascontiguousarray(tokens, dtype=np.float32), offsets)


@dataclass(frozen=True, slots=True)
class Movie:
    """A valid movie.

    Attributes:
        name: File name without its suffix.
        start: Seconds at which each shot starts, ``(shots,)``, ascending.
        end: Seconds at which each shot ends, ``(shots,)``.
        boundary: A scene ends with this shot, bool ``(shots,)``; the last one is never scored.
        aspects: Aspect → its tokens.
        extractors: Aspect → honest name of the network that made its tokens.
    """

    name: str
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    boundary: NDArray[np.bool_]
    aspects: Mapping[str, AspectTokens]
    extractors: Mapping[str, str]

    @property
    def shots(self) -> int:
        """Number of shots, ≥ 1."""
        return len(self.start)

    @property
    def labels(self) -> NDArray[np.bool_]:
        """Whether each boundary between two shots is one of scenes, ``(shots - 1,)``."""
        return self.boundary[:-1]
