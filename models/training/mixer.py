"""Training of the mixer over frozen experts (paper, sections II-C3 and III-A)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from models.evaluation.metrics import ScoredMovie, best_threshold, measure
from models.evaluation.scoring import Relations, relate_shots, score_relations
from models.mixer.constraints import confidence_constraint, variance_constraint
from models.rows import find_row
from models.training.batches import epoch_batches, holes
from models.training.loop import Progress, Schedule, run_epochs
from models.training.loss import mixture_loss
from models.training.settings import TrainingSettings, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import Tensor

    from models.dataset.corpus import Corpus, SequenceBatch
    from models.mixture import Mixed, Moae

_SHOTS_AT_ONCE = 256


@torch.inference_mode()
def relate_corpus(model: Moae, corpus: Corpus, movie: int) -> Relations:
    """Boundary representations of one movie of a corpus.

    Args:
        model: Its experts are trained.
        corpus: Projected with the model's projections.
        movie: Index of the movie.
    """
    rows = corpus.rows(movie)
    vectors, present = [], []
    for begin in range(rows.start, rows.stop, _SHOTS_AT_ONCE):
        wanted = torch.arange(begin, min(begin + _SHOTS_AT_ONCE, rows.stop))
        batch = {
            aspect: corpus.gather(aspect, wanted).to(model.device)
            for aspect in model.config.aspects
        }
        part, there = model.embed_projected(batch)
        vectors.append(part)
        present.append(there)
    return relate_shots(model, torch.cat(vectors), torch.cat(present))


def score_corpus(
    model: Moae,
    corpus: Corpus,
    relations: dict[int, Relations],
    movies: Sequence[int],
    lookahead: int | None,
) -> list[ScoredMovie]:
    """Scores movies of a corpus whose relations are known."""
    scored = []
    for movie in movies:
        rows = corpus.rows(movie)
        scores = score_relations(model, relations[movie], lookahead).scores
        scored.append(
            ScoredMovie(
                corpus.names[movie],
                corpus.start[rows.start : rows.stop],
                corpus.end[rows.start : rows.stop],
                corpus.labels(movie),
                scores,
            )
        )
    return scored


def train_mixer(
    model: Moae,
    corpus: Corpus,
    relations: dict[int, Relations],
    settings: TrainingSettings,
    train: Sequence[int],
    held: Sequence[int],
    state: Path,
    report: Callable[[Progress], None],
) -> Progress:
    """Trains the mixer of a mixture, from where an earlier run was killed.

    Args:
        model: Its experts are trained and stay as they are; its mixer is fresh on entry.
        corpus: Projected with the model's projections.
        relations: Movie → ``relate_corpus``, for all movies named below.
        settings: Of the whole training.
        train: Indices of the movies to train on.
        held: Indices of the movies to choose the epoch by; may be empty.
        state: File that lets it survive a kill.
        report: Called after every epoch.
    """

    def epoch(number: int, optimizer: torch.optim.Optimizer) -> float:
        random = np.random.default_rng(seed_of(settings.seed, settings.row, number))
        losses = []
        for batch in epoch_batches(corpus, train, settings, settings.mixer_stride, random):
            mixed = _mix(model, relations, batch, settings, random)
            loss = _loss(model, mixed, batch, settings)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses)) if losses else 0.0

    def validate() -> float:
        scored = score_corpus(model, corpus, relations, held, settings.lookahead)
        return measure(scored, best_threshold(scored)).f1

    return run_epochs(
        model.mixer,
        Schedule(
            epochs=settings.mixer_epochs,
            rate=settings.mixer_rate,
            step=0,
            decay=settings.mixer_decay,
            patience=None,
            seed=seed_of(settings.seed, settings.row, "dropout"),
        ),
        epoch,
        validate if held else None,
        state,
        report,
    )


def _mix(
    model: Moae,
    relations: dict[int, Relations],
    batch: SequenceBatch,
    settings: TrainingSettings,
    random: np.random.Generator,
) -> Mixed:
    """Judges a batch by the frozen experts, with aspects dropped, and mixes it."""
    values, present = [], []
    for movie, start in zip(batch.movie.tolist(), batch.start.tolist(), strict=True):
        part, there = relations[movie].sequences(np.array([start]), settings.sequence)
        values.append(part[0])
        present.append(there[0])
    stacked, there_all = torch.stack(values), torch.stack(present)
    there_all = there_all & ~_dropped(model, len(values), settings, random).to(model.device)
    with torch.no_grad():
        hidden, probability, experts = model.judge(stacked, there_all)
    return model.mix(hidden, probability, experts)


def _dropped(
    model: Moae, count: int, settings: TrainingSettings, random: np.random.Generator
) -> Tensor:
    """Branches without their aspect, bool ``(B, L, R)``; all sounds go together at times."""
    shape = (count, settings.sequence)
    sound = holes(shape, settings, random)
    of_aspect = {
        aspect: holes(shape, settings, random) | (sound if aspect != "place" else False)
        for aspect in model.config.aspects
    }
    return torch.stack([of_aspect[aspect] for _, aspect in model.branches], dim=-1)


def _loss(model: Moae, mixed: Mixed, batch: SequenceBatch, settings: TrainingSettings) -> Tensor:
    row = find_row(model.config.row)
    counted = batch.valid.to(model.device) & mixed.present.any(dim=-1)
    if row.constraint == "variance":
        regulariser = variance_constraint(mixed.free_weights, mixed.present, settings.alpha)
    elif row.constraint == "confidence":
        regulariser = confidence_constraint(
            mixed.free_weights, mixed.probability, mixed.present, settings.alpha, settings.beta
        )
    else:
        regulariser = torch.zeros_like(mixed.score)
    return mixture_loss(
        mixed.score, batch.labels.to(model.device), counted, settings.class_weight, regulariser
    )
