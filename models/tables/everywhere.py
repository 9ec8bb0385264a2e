"""Every look-ahead of every mixture out of one pass of the experts over a movie.

Judging costs far more than mixing, and the sequences of one look-ahead are those of the next one,
read at another position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from streamer.models.evaluation.scoring import Relations
    from streamer.models.mixture import Moae

_SEQUENCES_AT_ONCE = 128

Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Everywhere:
    """What mixtures with the same experts say in all sequences that touch a movie.

    The first sequence starts ``L - 1`` boundaries before the movie, the last one at its last
    boundary.

    Attributes:
        scores: Printed name → ``(boundaries + L - 1, L)``.
        weights: Printed name → ``(boundaries + L - 1, L, E)``.
        probability: Each expert's, ``(boundaries + L - 1, L, E)``.
        present: Bool ``(boundaries + L - 1, L, E)``.
    """

    scores: Mapping[str, NDArray[np.float64]]
    weights: Mapping[str, NDArray[np.float32]]
    probability: NDArray[np.float64]
    present: NDArray[np.bool_]


def judge_everywhere(models: Mapping[str, Moae], relations: Relations) -> Everywhere:
    """Judges all sequences that touch a movie.

    Args:
        models: Printed name → mixture; all have the same experts.
        relations: Of the movie, by these experts.
    """
    first = next(iter(models.values()))
    length, experts = first.config.sequence, len(first.config.experts)
    starts = np.arange(-(length - 1), relations.boundaries, dtype=np.int64)
    count = len(starts) if relations.boundaries else 0
    scores = {name: np.zeros((count, length)) for name in models}
    weights = {name: np.zeros((count, length, experts), np.float32) for name in models}
    probability = np.zeros((count, length, experts))
    present = np.zeros((count, length, experts), dtype=np.bool_)
    with torch.inference_mode():
        for begin in range(0, count, _SEQUENCES_AT_ONCE):
            rows = slice(begin, begin + _SEQUENCES_AT_ONCE)
            judged = first.score_experts(*relations.sequences(starts[rows], length))
            probability[rows] = judged[1].cpu().numpy()
            present[rows] = judged[2].cpu().numpy()
            for name, model in models.items():
                mixed = model.mix(*judged)
                scores[name][rows] = mixed.score.clamp(0.0, 1.0).cpu().numpy()
                weights[name][rows] = mixed.weights.cpu().numpy()
    return Everywhere(scores, weights, probability, present)


def decided(values: NDArray[Kind], lookahead: int | None) -> NDArray[Kind]:
    """Picks the decision about each boundary.

    Args:
        values: ``(boundaries + L - 1, L, ...)``, as in ``Everywhere``.
        lookahead: See ``score_relations``.

    Shape:
        ``(boundaries, ...)``
    """
    if not len(values):
        return values[:, 0]
    length = values.shape[1]
    boundaries = len(values) - length + 1
    if lookahead is None:
        return values[length - 1 :: length].reshape(-1, *values.shape[2:])[:boundaries]
    return values[lookahead : lookahead + boundaries, length - 1 - lookahead]
