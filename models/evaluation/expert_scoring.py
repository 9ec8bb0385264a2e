"""Scores of whole movies by a single expert, by the same windows as a live stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from streamer.models.dataset.sequences import sequence_shots, window_starts
from streamer.models.experts.tokens import boundary_windows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamer.models.dataset.corpus import Corpus
    from streamer.models.experts.expert import Expert

_SHOTS_AT_ONCE = 256


@torch.inference_mode()
def score_expert(
    expert: Expert, corpus: Corpus, movie: int, length: int, lookahead: int
) -> NDArray[np.float64]:
    """Probabilities that one expert gives every boundary of a movie.

    Args:
        expert: In evaluation mode.
        corpus: Holds its aspects.
        movie: Index of the movie.
        length: ``L``.
        lookahead: Boundaries waited for beyond the decided one, ``0 … L-1``.

    Returns:
        0 where the expert is absent.

    Shape:
        ``(shots - 1,)``
    """
    rows = corpus.rows(movie)
    boundaries = len(rows) - 1
    if boundaries < 1:
        return np.zeros(0)
    device = next(expert.parameters()).device
    margin = length
    run = sequence_shots(np.array([-margin]), len(rows), boundaries + 2 * margin, expert.reach)[0]
    relations, present = {}, {}
    for aspect in expert.aspects:
        vectors, there = [], []
        for begin in range(0, len(rows), _SHOTS_AT_ONCE):
            wanted = range(rows.start + begin, min(rows.start + begin + _SHOTS_AT_ONCE, rows.stop))
            batch = corpus.gather(aspect, torch.arange(wanted.start, wanted.stop)).to(device)
            vectors.append(expert.embed(aspect, batch))
            there.append(batch.present)
        index = torch.from_numpy(run).to(device)
        windows, both = boundary_windows(
            torch.cat(vectors)[index][None], torch.cat(there)[index][None], expert.reach
        )
        relations[aspect], present[aspect] = expert.boundary_features(aspect, windows[0]), both[0]
    starts = window_starts(boundaries, length, lookahead)
    picked = torch.from_numpy(starts[:, None] + np.arange(length) + margin).to(device)
    judged = expert.score(
        {aspect: values[picked] for aspect, values in relations.items()},
        {aspect: values[picked] for aspect, values in present.items()},
    )
    decided = judged.probability[:, length - 1 - lookahead]
    scores: NDArray[np.float64] = decided.cpu().numpy().astype(np.float64)
    return scores
