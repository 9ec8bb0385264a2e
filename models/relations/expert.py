"""A relation expert: one additive model of the relations, shared by all aspects and networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from streamer.errors import DatasetError, extra
from streamer.models.relations.features import relate_movie, similarity_width

with extra("train"):
    from sklearn.linear_model import LogisticRegression

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from streamer.models.dataset.movie import Movie
    from streamer.models.relations.features import RelationRow, Vector

INVERSE_PENALTY: Final = 0.001
_HINGES: Final = (0.0, -1.0, 1.0)
_CLIP: Final = 6.0
_STEPS: Final = 400


@dataclass(frozen=True, slots=True)
class RelatedMovie:
    """A movie's boundaries by one network.

    Attributes:
        name: The movie; the same in every dataset of it.
        network: Which network made the vectors.
        labels: True scene boundaries, bool ``(boundaries,)``.
        values: Aspect → ``(boundaries, width)``, NaN in rows where the aspect is absent.
        novelty: Aspect → ``(boundaries,)``, NaN where absent.
    """

    name: str
    network: str
    labels: NDArray[np.bool_]
    values: dict[str, Vector]
    novelty: dict[str, Vector]

    @classmethod
    def of(cls, movie: Movie, network: str, ahead: int, aspects: Sequence[str]) -> RelatedMovie:
        """Describes a movie.

        Args:
            movie: From a dataset.
            network: Name of the dataset or network.
            ahead: Look-ahead shots, ≥ 1.
            aspects: Those to describe; ones the movie lacks are left out.
        """
        rows = relate_movie(movie, ahead, aspects)
        values, novelty = {}, {}
        for aspect in aspects:
            if any(aspect in row.similarities for row in rows):
                joined = [model_input(row, aspect, ahead) for row in rows]
                absent = np.full(next(len(each) for each in joined if each is not None), np.nan)
                values[aspect] = np.stack([absent if each is None else each for each in joined])
                novelty[aspect] = np.array([row.novelty.get(aspect, np.nan) for row in rows])
        return cls(movie.name, network, movie.labels, values, novelty)

    def only(self, aspects: Collection[str]) -> RelatedMovie:
        """The same with fewer aspects."""
        return replace(
            self,
            values={name: each for name, each in self.values.items() if name in aspects},
            novelty={name: each for name, each in self.novelty.items() if name in aspects},
        )


def model_input(row: RelationRow, aspect: str, ahead: int) -> Vector | None:
    """What the expert sees of a boundary in one aspect; None where the aspect is absent.

    Similarities of the boundary itself enter by hinges too, so that a linear model of them can
    bend where similarity turns from chance to kinship.
    """
    seen = row.similarities.get(aspect)
    if seen is None:
        return None
    own = seen[: similarity_width(ahead)]
    return np.concatenate((seen, *(np.maximum(own - hinge, 0.0) for hinge in _HINGES), row.rhythm))


@dataclass(frozen=True, slots=True)
class RelationExpert:
    """A logistic model of relations; the same weights judge every aspect.

    Attributes:
        ahead: Look-ahead shots.
        centre: Mean of each input in training, ``(width,)``.
        scale: Its deviation.
        weight: Per standardised input.
        bias: Logit where every input is at its mean.
    """

    ahead: int
    centre: Vector
    scale: Vector
    weight: Vector
    bias: float

    def logits(self, values: Vector) -> Vector:
        """Judges boundaries, ``(n, width)`` → ``(n,)``; NaN where the aspect is absent."""
        standard = np.clip((values - self.centre) / self.scale, -_CLIP, _CLIP)
        # Row by row: a matrix product may round by the number of rows, and streams come singly.
        judged: Vector = np.einsum("nd,d->n", standard, self.weight) + self.bias
        return judged


def fuse(logits: Sequence[Vector]) -> Vector:
    """Probability by the mean of the logits there are, ``(n,)`` each; 0 where all are absent."""
    stacked = np.stack(logits)
    there = np.isfinite(stacked)
    mean = np.where(there, stacked, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    chance: Vector = np.where(there.any(axis=0), 1.0 / (1.0 + np.exp(-mean)), 0.0)
    return chance


def fit_expert(
    movies: Sequence[RelatedMovie],
    ahead: int,
    penalty: float = INVERSE_PENALTY,
    columns: Collection[int] | None = None,
) -> RelationExpert:
    """Trains an expert on all aspects and networks of some movies together.

    A movie counts by the square root of its length, whichever number of networks describe it.

    Args:
        movies: At least one with a true boundary.
        ahead: Look-ahead shots they were described with.
        penalty: Inverse strength of the squared penalty.
        columns: Inputs that may be used; None takes all.

    Raises:
        DatasetError: There is nothing to learn from.
    """
    seen: dict[str, int] = {}
    for movie in movies:
        seen[movie.name] = seen.get(movie.name, 0) + len(movie.values)
    parts, labels, weights = [], [], []
    for movie in movies:
        for values in movie.values.values():
            there = np.isfinite(values[:, 0])
            parts.append(values[there])
            labels.append(movie.labels[there])
            share = 1.0 / (seen[movie.name] * np.sqrt(max(1, len(movie.labels))))
            weights.append(np.full(int(there.sum()), share))
    truth = np.concatenate(labels) if labels else np.zeros(0, dtype=np.bool_)
    if truth.all() or not truth.any():
        raise DatasetError("relation experts need scene boundaries and others to learn from")
    inputs, weight = np.concatenate(parts), np.concatenate(weights)
    centre, scale = inputs.mean(axis=0), inputs.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    if columns is not None:
        left = np.ones(len(scale), dtype=np.bool_)
        left[list(columns)] = False
        scale[left] = np.inf
    standard = np.clip((inputs - centre) / scale, -_CLIP, _CLIP)
    model = LogisticRegression(C=penalty, max_iter=_STEPS)
    model.fit(standard, truth, sample_weight=weight / weight.mean())
    return RelationExpert(ahead, centre, scale, model.coef_[0].copy(), float(model.intercept_[0]))
