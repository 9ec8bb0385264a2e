"""The scale of the mixer's constraint, chosen on training movies (paper, section III-A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from streamer.models.catalogue import find_row
from streamer.models.dataset.sequences import window_starts
from streamer.models.evaluation.metrics import average_precision
from streamer.models.training.inner import deal_groups
from streamer.models.training.mixer import train_mixers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from streamer.models.dataset.corpus import Corpus
    from streamer.models.evaluation.scoring import Relations
    from streamer.models.mixture import Moae
    from streamer.models.training.loop import Progress
    from streamer.models.training.settings import TrainingSettings

_SEQUENCES_AT_ONCE = 256
_GROUPS = 3


def choose_alphas(
    make: Callable[[str, float], Moae],
    rows: Sequence[str],
    corpus: Corpus,
    relations: Mapping[int, Relations],
    settings: TrainingSettings,
    train: Sequence[int],
    state: Path,
    report: Callable[[Progress], None],
    judges: Mapping[int, Moae],
) -> dict[str, float]:
    """Trains mixers at every scale on two thirds of the training movies, compares on the rest.

    The average precision over all boundaries of these movies decides *(choice)*. Of equal scales,
    and where there is nothing to choose by, the first one is taken.

    Args:
        make: Row and scale → mixture with trained experts and a fresh mixer.
        rows: Printed names of mixtures.
        corpus: See ``train_mixer``.
        relations: See ``train_mixer``.
        settings: Of the whole training; ``alphas`` has the scales.
        train: Indices of the training movies.
        state: File that lets it survive a kill.
        report: Called after every epoch.
        judges: See ``train_mixer``.

    Returns:
        Row → scale, for all rows.
    """
    chosen = dict.fromkeys(rows, settings.alphas[0])
    bound = [row for row in rows if find_row(row).constraint is not None]
    if len(settings.alphas) == 1 or not bound or len(train) < 2:
        return chosen
    back = deal_groups(corpus, train, settings.inner_folds or _GROUPS)[0]
    others = [movie for movie in train if movie not in back]
    if not any(corpus.labels(movie).any() for movie in others):
        return chosen
    candidates = {
        f"{row} alpha {alpha:g}": make(row, alpha) for row in bound for alpha in settings.alphas
    }
    train_mixers(candidates, corpus, relations, settings, others, state, report, judges)
    labels = np.concatenate([corpus.labels(movie) for movie in back])
    first = next(iter(candidates.values()))
    scored = [
        _scores(judges.get(movie, first), candidates, relations[movie], settings.lookahead)
        for movie in back
    ]
    precision = {
        name: average_precision(labels, np.concatenate([each[name] for each in scored])) or 0.0
        for name in candidates
    }
    for row in bound:
        found = {alpha: precision[f"{row} alpha {alpha:g}"] for alpha in settings.alphas}
        chosen[row] = max(found, key=found.__getitem__)
    return chosen


@torch.inference_mode()
def _scores(
    judge: Moae, mixtures: Mapping[str, Moae], relations: Relations, lookahead: int
) -> dict[str, NDArray[np.float64]]:
    """What mixtures make of the judgements of one and the same experts on a movie."""
    length = judge.config.sequence
    starts = window_starts(relations.boundaries, length, lookahead)
    parts: dict[str, list[NDArray[np.float64]]] = {name: [np.zeros(0)] for name in mixtures}
    for begin in range(0, len(starts), _SEQUENCES_AT_ONCE):
        cut = relations.sequences(starts[begin : begin + _SEQUENCES_AT_ONCE], length)
        judged = judge.score_experts(*cut)
        for name, mixture in mixtures.items():
            score = mixture.mix(*judged).score[:, length - 1 - lookahead]
            parts[name].append(score.cpu().numpy().astype(np.float64))
    return {name: np.concatenate(each) for name, each in parts.items()}
