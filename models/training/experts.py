"""Training of one expert (paper, section III-A)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from streamer.models.catalogue import find_row
from streamer.models.evaluation.expert_scoring import score_expert
from streamer.models.evaluation.metrics import average_precision
from streamer.models.experts.expert import build_expert
from streamer.models.experts.layers import SPECTROGRAM_DIM
from streamer.models.experts.tokens import TokenBatch
from streamer.models.training.batches import epoch_batches, holes, reversed_some, sign_flips
from streamer.models.training.loop import Progress, Schedule, run_epochs
from streamer.models.training.loss import expert_loss
from streamer.models.training.settings import TrainingSettings, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from streamer.models.dataset.corpus import Corpus, SequenceBatch
    from streamer.models.experts.expert import Expert


@dataclass(frozen=True, slots=True)
class ExpertJob:
    """One expert at one learning rate.

    Attributes:
        row: Printed name.
        rate: Learning rate.
        settings: Of the whole training.
        train: Indices of the movies to train on.
        held: Indices of the movies to choose by; may be empty.
        state: File that lets it survive a kill.
        device: Where it runs.
        judged: Indices of movies that the trained expert scores.
        note: Tells jobs of one expert apart, for people.
    """

    row: str
    rate: float
    settings: TrainingSettings
    train: tuple[int, ...]
    held: tuple[int, ...]
    state: Path
    device: str = "cpu"
    judged: tuple[int, ...] = ()
    note: str = ""

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.row} lr {self.rate:g}{self.note}"


@dataclass(frozen=True, slots=True)
class ExpertOutcome:
    """A trained expert.

    Attributes:
        job: How it was trained.
        progress: Losses and scores by epoch.
        weights: Its parameters.
        scores: Movie → probability of each boundary, for the movies the job wants judged.
    """

    job: ExpertJob
    progress: Progress
    weights: dict[str, Tensor]
    scores: dict[int, NDArray[np.float64]]


def train_expert(
    corpus: Corpus, job: ExpertJob, report: Callable[[Progress], None]
) -> ExpertOutcome:
    """Trains an expert, from where an earlier run was killed.

    Args:
        corpus: Holds the expert's aspects.
        job: What to do.
        report: Called after every epoch.

    Raises:
        DatasetError: The loss is not finite, or the saved state is damaged.
    """
    settings = job.settings
    device = torch.device(job.device)
    row = find_row(job.row)
    dims = {aspect: int(corpus.tokens[aspect].shape[1]) for aspect in row.aspects}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(settings.seed, job.row, "weights"))
        expert = build_expert(job.row, dims, settings.size, settings.reach).to(device)

    def train(epoch: int, optimizer: torch.optim.Optimizer) -> float:
        random = np.random.default_rng(seed_of(settings.seed, job.row, epoch))
        losses = []
        for cut in epoch_batches(corpus, job.train, settings, settings.stride, random):
            batch = reversed_some(cut, settings, random)
            shots = _shots(corpus, expert, batch, settings, random, device)
            judged = expert(shots, len(batch.shots))
            counted = batch.valid.to(device) & judged.present
            loss = expert_loss(
                judged.logits, batch.labels.to(device), counted, settings.class_weight
            )
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(float(loss.detach()))
        return float(np.mean(losses)) if losses else 0.0

    def score(movie: int) -> NDArray[np.float64]:
        return score_expert(expert, corpus, movie, settings.sequence, settings.lookahead)

    def validate() -> float:
        scored = [score(movie) for movie in job.held]
        labels = np.concatenate([corpus.labels(movie) for movie in job.held])
        return average_precision(labels, np.concatenate(scored)) or 0.0

    progress = run_epochs(
        expert,
        Schedule(
            epochs=settings.epochs,
            rate=job.rate,
            step=settings.step,
            decay=settings.decay,
            patience=settings.patience if job.held else None,
            seed=seed_of(settings.seed, job.row, "dropout"),
        ),
        train,
        validate if job.held else None,
        job.state,
        report,
    )
    weights = {name: tensor.cpu() for name, tensor in expert.state_dict().items()}
    return ExpertOutcome(job, progress, weights, {movie: score(movie) for movie in job.judged})


def best_outcome(outcomes: list[ExpertOutcome]) -> ExpertOutcome:
    """The learning rate with the best score on held-out movies, or the lowest training loss."""
    return max(outcomes, key=lambda outcome: outcome.progress.best)


def _shots(
    corpus: Corpus,
    expert: Expert,
    batch: SequenceBatch,
    settings: TrainingSettings,
    random: np.random.Generator,
    device: torch.device,
) -> dict[str, TokenBatch]:
    """Tokens of a batch, with holes and new signs."""
    rows = batch.shots.flatten()
    count, run = int(batch.shots.shape[0]), int(batch.shots.shape[1])
    held: dict[str, TokenBatch] = {}
    for index, aspect in enumerate(expert.aspects):
        tokens = corpus.gather(aspect, rows)
        # Without its leading aspect an expert is absent: nothing could be learnt from that.
        if index or len(expert.aspects) == 1:
            dropped = holes((count, run), settings, random)
            if len(expert.aspects) == 1:
                dropped &= ~dropped.all(dim=1, keepdim=True)
            tokens = tokens.without(dropped.flatten())
        if tokens.tokens.shape[-1] == SPECTROGRAM_DIM:
            # Convolutions need neighbouring bins to stay alike.
            held[aspect] = tokens.to(device)
            continue
        signs = sign_flips(count, tokens.tokens.shape[-1], settings, random)
        turned = tokens.tokens * signs.repeat_interleave(run, dim=0)[:, None]
        held[aspect] = TokenBatch(turned, tokens.lengths).to(device)
    return held
