"""Training of the mixer over frozen experts (paper, sections II-C3 and III-A)."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from streamer.models.catalogue import find_row
from streamer.models.dataset.corpus import join_batches
from streamer.models.evaluation.metrics import ScoredMovie, best_threshold, measure
from streamer.models.evaluation.scoring import Relations, relate_shots, score_relations
from streamer.models.mixer.mixer import confidence_constraint, variance_constraint
from streamer.models.training.batches import epoch_batches, holes
from streamer.models.training.loop import Progress, Schedule, run_epochs
from streamer.models.training.loss import mixture_loss
from streamer.models.training.settings import TrainingSettings, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from streamer.models.dataset.corpus import Corpus, SequenceBatch
    from streamer.models.mixture import Mixed, Moae

_SHOTS_AT_ONCE = 256
_BATCHES_AT_ONCE = 8


@torch.inference_mode()
def relate_corpus(
    model: Moae, corpus: Corpus, movie: int, without: Collection[str] = ()
) -> Relations:
    """Boundary representations of one movie of a corpus.

    Args:
        model: Its experts are trained.
        corpus: Projected with the model's projections.
        movie: Index of the movie.
        without: Aspects to leave out, as if the movie lacked them.
    """
    rows = corpus.rows(movie)
    vectors, present = [], []
    for begin in range(rows.start, rows.stop, _SHOTS_AT_ONCE):
        wanted = torch.arange(begin, min(begin + _SHOTS_AT_ONCE, rows.stop))
        batch = {}
        for aspect in model.config.aspects:
            tokens = corpus.gather(aspect, wanted).to(model.device)
            if aspect in without:
                tokens = tokens.without(torch.ones_like(tokens.present))
            batch[aspect] = tokens
        part, there = model.embed_projected(batch)
        vectors.append(part)
        present.append(there)
    return relate_shots(model, torch.cat(vectors), torch.cat(present))


def score_corpus(
    model: Moae,
    corpus: Corpus,
    relations: Mapping[int, Relations],
    movies: Sequence[int],
    lookahead: int | None,
) -> list[ScoredMovie]:
    """Scores movies of a corpus whose relations are known."""
    return [
        scored_movie(corpus, movie, score_relations(model, relations[movie], lookahead).scores)
        for movie in movies
    ]


def scored_movie(corpus: Corpus, movie: int, scores: NDArray[np.float64]) -> ScoredMovie:
    """Joins scores with a movie's truth."""
    rows = corpus.rows(movie)
    return ScoredMovie(
        corpus.names[movie],
        corpus.start[rows.start : rows.stop],
        corpus.end[rows.start : rows.stop],
        corpus.labels(movie),
        scores,
    )


def train_mixer(
    model: Moae,
    corpus: Corpus,
    relations: Mapping[int, Relations],
    settings: TrainingSettings,
    train: Sequence[int],
    held: Sequence[int],
    state: Path,
    report: Callable[[Progress], None],
    judges: Mapping[int, Moae] | None = None,
) -> Progress:
    """Trains the mixer of a mixture, from where an earlier run was killed.

    Args:
        model: Its experts are trained and stay as they are; its mixer is fresh on entry.
        corpus: Projected with the model's projections.
        relations: Movie → ``relate_corpus``, for all movies named below; for training movies by
            their judge.
        settings: Of the whole training.
        train: Indices of the movies to train on.
        held: Indices of the movies to choose the epoch by; may be empty.
        state: File that lets it survive a kill.
        report: Called after every epoch.
        judges: Training movie → the mixture whose experts judge it; None takes ``model``.
    """

    def validate() -> float:
        scored = score_corpus(model, corpus, relations, held, settings.lookahead)
        return measure(scored, best_threshold(scored)).f1

    return _train(
        model.mixer,
        {settings.row: model},
        corpus,
        relations,
        settings,
        train,
        validate if held else None,
        state,
        report,
        judges,
    )


def train_mixers(
    models: Mapping[str, Moae],
    corpus: Corpus,
    relations: Mapping[int, Relations],
    settings: TrainingSettings,
    train: Sequence[int],
    state: Path,
    report: Callable[[Progress], None],
    judges: Mapping[int, Moae] | None = None,
) -> Progress:
    """Trains the mixers of several rows side by side; their experts judge every batch once.

    They share nothing but the batches: the loss is the sum of theirs.

    Args:
        models: Printed name → mixture; all have the same experts.
        corpus: See ``train_mixer``.
        relations: See ``train_mixer``.
        settings: Of the whole training, but for the row.
        train: Indices of the movies to train on.
        state: File that lets it survive a kill.
        report: Called after every epoch.
        judges: See ``train_mixer``.
    """
    together = nn.ModuleList([model.mixer for model in models.values()])
    return _train(together, models, corpus, relations, settings, train, None, state, report, judges)


def _train(
    module: nn.Module,
    models: Mapping[str, Moae],
    corpus: Corpus,
    relations: Mapping[int, Relations],
    settings: TrainingSettings,
    train: Sequence[int],
    validate: Callable[[], float] | None,
    state: Path,
    report: Callable[[Progress], None],
    judges: Mapping[int, Moae] | None,
) -> Progress:
    first = next(iter(models.values()))
    name = "+".join(models)

    def epoch(number: int, optimizer: torch.optim.Optimizer) -> float:
        random = np.random.default_rng(seed_of(settings.seed, name, number))
        losses = []
        batches = epoch_batches(corpus, train, settings, settings.mixer_stride, random)
        while some := list(islice(batches, _BATCHES_AT_ONCE)):
            judgements = _judge(first, judges or {}, relations, some, settings, random)
            for batch, judged in zip(some, judgements, strict=True):
                loss = torch.stack(
                    [_loss(model, model.mix(*judged), batch, settings) for model in models.values()]
                ).sum()
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(loss)
                optimizer.step()
                losses.append(float(loss.detach()) / len(models))
        return float(np.mean(losses)) if losses else 0.0

    return run_epochs(
        module,
        Schedule(
            epochs=settings.mixer_epochs,
            rate=settings.mixer_rate,
            step=0,
            decay=settings.mixer_decay,
            patience=None,
            seed=seed_of(settings.seed, name, "dropout"),
        ),
        epoch,
        validate,
        state,
        report,
    )


def _judge(
    model: Moae,
    judges: Mapping[int, Moae],
    relations: Mapping[int, Relations],
    batches: Sequence[SequenceBatch],
    settings: TrainingSettings,
    random: np.random.Generator,
) -> list[tuple[Tensor, ...]]:
    """Judges batches by frozen experts, with aspects dropped; see ``Moae.score_experts``.

    Several batches at once: what an expert says of a sequence depends on no other.
    """
    sizes = [len(batch.shots) for batch in batches]
    whole = join_batches(batches)
    there = ~torch.cat([_dropped(model, size, settings, random) for size in sizes])
    asked: dict[int, list[int]] = {}
    for movie in sorted(set(whole.movie.tolist())):
        asked.setdefault(id(judges.get(movie, model)), []).append(movie)
    parts, order = [], []
    for movies in asked.values():
        values, present = [], []
        for movie in movies:
            rows = torch.nonzero(whole.movie == movie)[:, 0]
            cut = relations[movie].sequences(whole.start[rows].numpy(), settings.sequence)
            values.append(cut[0])
            present.append(cut[1] & there[rows].to(model.device))
            order.append(rows)
        judge = judges.get(movies[0], model)
        with torch.no_grad():
            parts.append(judge.score_experts(torch.cat(values), torch.cat(present)))
    back = torch.cat(order).argsort().to(model.device)
    columns = [torch.split(torch.cat(column)[back], sizes) for column in zip(*parts, strict=True)]
    return list(zip(*columns, strict=True))


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
        regulariser = variance_constraint(mixed.free_weights, mixed.present, model.config.alpha)
    elif row.constraint == "confidence":
        regulariser = confidence_constraint(
            mixed.free_weights, mixed.probability, mixed.present, model.config.alpha, settings.beta
        )
    else:
        regulariser = torch.zeros_like(mixed.score)
    return mixture_loss(
        mixed.score, batch.labels.to(model.device), counted, settings.class_weight, regulariser
    )
