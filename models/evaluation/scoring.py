"""Scores of whole movies, by the same windows as a live stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from streamer.errors import CheckpointError, DatasetError
from streamer.models.dataset.sequences import sequence_shots, tile_starts, window_starts
from streamer.models.evaluation.metrics import ScoredMovie
from streamer.models.experts.tokens import pad_tokens

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from streamer.models.dataset.movie import Movie
    from streamer.models.mixture import Mixed, Moae

_SHOTS_AT_ONCE = 64
_SEQUENCES_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class MixtureScores:
    """What a mixture says of every boundary of a movie.

    Attributes:
        scores: ``(boundaries,)``.
        weights: ``(boundaries, E)``.
        probability: Each expert's, ``(boundaries, E)``.
        present: Bool ``(boundaries, E)``.
    """

    scores: NDArray[np.float64]
    weights: NDArray[np.float64]
    probability: NDArray[np.float64]
    present: NDArray[np.bool_]

    def of(self, movie: Movie) -> ScoredMovie:
        """Joins the scores with the movie's truth."""
        return ScoredMovie(movie.name, movie.start, movie.end, movie.labels, self.scores)


@dataclass(frozen=True, slots=True)
class Relations:
    """Boundary representations of a movie, edges padded by ``L + w_b`` on both sides.

    Attributes:
        values: ``(boundaries + 2 * margin, R, D + C)``.
        present: Bool ``(boundaries + 2 * margin, R)``.
        margin: Representations before boundary 0.
    """

    values: Tensor
    present: Tensor
    margin: int

    @property
    def boundaries(self) -> int:
        """Real ones."""
        return max(0, len(self.values) - 2 * self.margin)

    def sequences(self, starts: NDArray[np.int64], length: int) -> tuple[Tensor, Tensor]:
        """Cuts sequences.

        Args:
            starts: First boundaries, at least ``-margin``.
            length: ``L``.

        Shape:
            ``(B, L, R, D + C)`` and bool ``(B, L, R)``.
        """
        index = torch.from_numpy(starts[:, None] + np.arange(length) + self.margin)
        index = index.to(self.values.device)
        return self.values[index], self.present[index]


def check_aspects(model: Moae, movie: Movie) -> None:
    """Refuses a movie whose tokens are not what a mixture was trained on.

    Raises:
        CheckpointError: Tokens of an aspect have another length or come from another network.
        DatasetError: The movie has none of the aspects.
    """
    config = model.config
    if not set(config.aspects) & set(movie.aspects):
        raise DatasetError(f"movie {movie.name}: none of {', '.join(sorted(config.aspects))}")
    for name, spec in config.aspects.items():
        held = movie.aspects.get(name)
        if held is None:
            continue
        if held.dim != spec.dim:
            raise CheckpointError(
                f"movie {movie.name}: aspect {name} is {held.dim} wide, "
                f"the checkpoint wants {spec.dim}"
            )
        if movie.extractors[name] not in (spec.network, "unknown"):
            raise CheckpointError(
                f"movie {movie.name}: aspect {name} comes from {movie.extractors[name]!r}, "
                f"the checkpoint wants {spec.network!r}"
            )


@torch.inference_mode()
def relate_movie(model: Moae, movie: Movie, without: Collection[str] = ()) -> Relations:
    """Embeds all shots of a movie and relates them around every boundary.

    Args:
        model: The mixture.
        movie: Raw tokens.
        without: Aspects to leave out, as if the movie lacked them.

    Raises:
        CheckpointError: See ``check_aspects``.
        DatasetError: See ``check_aspects``.
    """
    check_aspects(model, movie)
    config = model.config
    vectors, present = [], []
    for begin in range(0, movie.shots, _SHOTS_AT_ONCE):
        rows = range(begin, min(begin + _SHOTS_AT_ONCE, movie.shots))
        batch = {}
        for name, spec in config.aspects.items():
            held = None if name in without else movie.aspects.get(name)
            shots = [None if held is None else held.shot(row) for row in rows]
            batch[name] = pad_tokens(shots, spec.dim, config.size.max_tokens, model.device)
        part, there = model.embed(batch)
        vectors.append(part)
        present.append(there)
    return relate_shots(model, torch.cat(vectors), torch.cat(present))


@torch.inference_mode()
def relate_shots(model: Moae, vectors: Tensor, present: Tensor) -> Relations:
    """Relates embedded shots around every boundary.

    Args:
        model: The mixture.
        vectors: ``(shots, R, D)``.
        present: Bool ``(shots, R)``.
    """
    config = model.config
    shots = len(vectors)
    margin = config.sequence + config.reach
    count = shots - 1 + 2 * margin
    run = sequence_shots(np.array([-margin]), shots, count, config.reach)[0]
    index = torch.from_numpy(run).to(vectors.device).unfold(0, 2 * config.reach, 1)
    values, there = [], []
    for begin in range(0, count, _SEQUENCES_AT_ONCE):
        rows = index[begin : begin + _SEQUENCES_AT_ONCE]
        part, both = model.boundary_features(vectors[rows], present[rows])
        values.append(part)
        there.append(both)
    return Relations(torch.cat(values), torch.cat(there), margin)


@torch.inference_mode()
def score_relations(model: Moae, relations: Relations, lookahead: int | None) -> MixtureScores:
    """Scores every boundary of a movie once.

    Args:
        model: The mixture.
        relations: Of the movie.
        lookahead: Boundaries waited for beyond the decided one, as in a stream; None judges
            sequences that lie end to end, as the paper does offline.
    """
    length = model.config.sequence
    boundaries = relations.boundaries
    starts = (
        tile_starts(boundaries, length)
        if lookahead is None
        else window_starts(boundaries, length, lookahead)
    )
    parts: list[tuple[Tensor, ...]] = []
    for begin in range(0, len(starts), _SEQUENCES_AT_ONCE):
        mixed = model.decide(
            *relations.sequences(starts[begin : begin + _SEQUENCES_AT_ONCE], length)
        )
        parts.append(_decided(mixed, length, lookahead))
    if not parts:
        experts = len(model.config.experts)
        empty = np.zeros((0, experts))
        return MixtureScores(np.zeros(0), empty, empty, np.zeros((0, experts), dtype=np.bool_))
    score, weights, probability, present = (
        torch.cat(column)[:boundaries].cpu().numpy() for column in zip(*parts, strict=True)
    )
    return MixtureScores(
        np.clip(score.astype(np.float64), 0.0, 1.0),
        weights.astype(np.float64),
        probability.astype(np.float64),
        present.astype(np.bool_),
    )


def score_movie(
    model: Moae, movie: Movie, lookahead: int | None, without: Collection[str] = ()
) -> MixtureScores:
    """Scores every boundary of a movie once; see ``relate_movie`` and ``score_relations``."""
    return score_relations(model, relate_movie(model, movie, without), lookahead)


def _decided(mixed: Mixed, length: int, lookahead: int | None) -> tuple[Tensor, ...]:
    columns = (mixed.score, mixed.weights, mixed.probability, mixed.present)
    if lookahead is None:
        return tuple(column.flatten(0, 1) for column in columns)
    return tuple(column[:, length - 1 - lookahead] for column in columns)
