"""Shuffled batches of sequences, and the holes torn into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from streamer.models.dataset.corpus import Corpus, SequenceBatch, join_batches
from streamer.models.dataset.sequences import tile_starts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from streamer.models.training.settings import TrainingSettings


def epoch_batches(
    corpus: Corpus,
    movies: Sequence[int],
    settings: TrainingSettings,
    stride: int,
    random: np.random.Generator,
) -> Iterator[SequenceBatch]:
    """Cuts all movies into sequences and shuffles them.

    The first sequence of a movie begins up to ``L - 1`` boundaries before it, so that its edges
    are seen as often as its middle. Where exactly is drawn as far as the stride leaves it open,
    from ``(L - 1) % stride + 1`` phases: all at a stride of ``L``, a single one at 1 or at 3 of
    10, where each boundary keeps its positions from epoch to epoch.

    Args:
        corpus: The movies.
        movies: Indices of those to train on.
        settings: ``sequence``, ``reach`` and ``batch`` are used.
        stride: Boundaries from one sequence to the next.
        random: Draws phases and order.
    """
    cuts = []
    for movie in movies:
        boundaries = len(corpus.rows(movie)) - 1
        if boundaries < 1:
            continue
        # Drawn where there is one phase, too: the order below follows from what was drawn before.
        spare = (settings.sequence - 1) // stride * stride
        phase = min(int(random.integers(stride)) + spare, settings.sequence - 1)
        starts = tile_starts(boundaries, stride, phase)
        cuts.append(corpus.cut(movie, starts, settings.sequence, settings.reach))
    if not cuts:
        return
    whole = join_batches(cuts)
    order = torch.from_numpy(random.permutation(len(whole.shots)))
    for begin in range(0, len(order), settings.batch):
        yield whole.rows(order[begin : begin + settings.batch])


def holes(
    shape: tuple[int, int], settings: TrainingSettings, random: np.random.Generator
) -> Tensor:
    """Draws where one aspect is to be missing, so that experts and mixer meet it in training.

    Args:
        shape: ``(B, S)`` sequences and shots (or boundaries).
        settings: ``drop_aspect`` and ``drop_run`` are used.
        random: Draws.

    Returns:
        True where the aspect is to be dropped: everywhere in some sequences, for a run of
        shots in others.

    Shape:
        Bool ``(B, S)``
    """
    count, shots = shape
    draw = random.random(count)
    everywhere = draw < settings.drop_aspect
    run = ~everywhere & (draw < settings.drop_aspect + settings.drop_run)
    begin = random.integers(0, shots, count)
    length = random.integers(1, shots + 1, count)
    position = np.arange(shots)[None]
    inside = (position >= begin[:, None]) & (position < (begin + length)[:, None])
    return torch.from_numpy(everywhere[:, None] | (run[:, None] & inside))


def reversed_some(
    batch: SequenceBatch, settings: TrainingSettings, random: np.random.Generator
) -> SequenceBatch:
    """Turns some sequences round: a scene boundary is one in both directions of time.

    Args:
        batch: Sequences; ``start`` loses its meaning in those turned.
        settings: ``reverse`` is used.
        random: Draws.
    """
    turn = torch.from_numpy(random.random(len(batch.shots)) < settings.reverse)[:, None]
    return SequenceBatch(
        batch.movie,
        batch.start,
        torch.where(turn, batch.shots.flip(1), batch.shots),
        torch.where(turn, batch.labels.flip(1), batch.labels),
        torch.where(turn, batch.valid.flip(1), batch.valid),
    )


def sign_flips(
    count: int, dim: int, settings: TrainingSettings, random: np.random.Generator
) -> Tensor:
    """Signs for the token dimensions of each sequence, 1 throughout in those left alone.

    Args:
        count: Sequences.
        dim: Length of a token.
        settings: ``flip`` is used.
        random: Draws.

    Shape:
        Float32 ``(count, dim)``
    """
    signs = random.integers(0, 2, (count, dim)) * 2 - 1
    signs[random.random(count) >= settings.flip] = 1
    return torch.from_numpy(signs.astype(np.float32))
