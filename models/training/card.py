"""The model card: what a mixture was trained on, and what that means."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamer.models.dataset.corpus import Corpus
    from streamer.models.evaluation.metrics import Metrics
    from streamer.models.mixture import MoaeConfig
    from streamer.models.training.experts import ExpertOutcome
    from streamer.models.training.loop import Progress
    from streamer.models.training.settings import TrainingSettings


def model_card(
    *,
    settings: TrainingSettings,
    config: MoaeConfig,
    hashes: Mapping[str, str],
    train: Sequence[str],
    held: Sequence[str],
    outcomes: Sequence[ExpertOutcome],
    mixer: Progress,
    metrics: Metrics,
    corpus: Corpus,
) -> str:
    """Writes the card as Markdown; ``{sha256}`` stands for the checkpoint's digest.

    Args:
        settings: Of the training.
        config: Of the mixture.
        hashes: Movie → SHA-256 of its dataset file.
        train: Movies trained on.
        held: Movies held out.
        outcomes: The chosen run of each expert.
        mixer: The mixer's run.
        metrics: On the held-out movies, or on the training movies when none was held out.
        corpus: All of them.
    """
    size = {name: len(corpus.rows(row)) for row, name in enumerate(corpus.names)}
    judged = "held-out" if held else "training"
    lines = [
        f"# {config.row}",
        "",
        "SHA-256 of the checkpoint: `{sha256}`",
        "",
        "## What it looks at",
        "",
        "| aspect | network | dim |",
        "|---|---|---|",
        *(f"| {name} | {spec.network} | {spec.dim} |" for name, spec in config.aspects.items()),
        "",
        "## Training",
        "",
        f"- {len(train)} movies, {sum(size[name] for name in train)} shots; "
        f"{len(held)} held out, {sum(size[name] for name in held)} shots",
        f"- experts: {settings.epochs} epochs, learning rates {list(settings.rates)}, "
        f"weight decay {settings.decay:g}; mixer: {settings.mixer_epochs} epochs, "
        f"learning rate {settings.mixer_rate:g}, weight decay {settings.mixer_decay:g}",
        f"- {_inner(settings)}",
        f"- class weights 1:{settings.class_weight:g}, L = {config.sequence}, "
        f"w_b = {config.reach}, K = {config.masked}, alpha = {config.alpha:g}, "
        f"beta = {config.beta:g}, seed {settings.seed}",
        f"- torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}",
        "",
        "| expert | learning rate | kept epoch | AP held out | last loss |",
        "|---|---|---|---|---|",
        *(_expert_line(outcome, bool(held)) for outcome in outcomes),
        "",
        f"The mixer kept epoch {mixer.best_epoch}; its last loss was {mixer.losses[-1]:.4f}.",
        "",
        f"## Scores on the {judged} movies",
        "",
        f"The threshold {config.threshold:.4f} and the epochs were chosen on these movies, so "
        "that the scores are optimistic; evaluate on movies that took no part.",
        "",
        f"Look-ahead {config.lookahead} boundaries. AP pooled "
        f"{_number(metrics.ap_pooled)}, AP mean "
        f"{_number(metrics.ap_mean)}, Miou {metrics.miou:.4f}, recall {metrics.recall:.4f}, "
        f"precision {metrics.precision:.4f}, F1 {metrics.f1:.4f}, "
        f"Recall@3s {metrics.recall_3s:.4f}.",
        "",
        "## Data",
        "",
        "| movie | role | shots | SHA-256 |",
        "|---|---|---|---|",
        *(
            f"| {name} | {'held out' if name in held else 'training'} | {size[name]} | "
            f"`{hashes[name]}` |"
            for name in corpus.names
        ),
        "",
    ]
    return "\n".join(lines)


def _expert_line(outcome: ExpertOutcome, held: bool) -> str:
    progress = outcome.progress
    score = f"{progress.best:.4f}" if held else "n/a"
    return (
        f"| {outcome.job.row} | {outcome.job.rate:g} | {progress.best_epoch} | {score} | "
        f"{progress.losses[-1]:.4f} |"
    )


def _inner(settings: TrainingSettings) -> str:
    if not settings.inner_folds:
        return "the mixer learnt from experts that were trained on the same movies"
    return (
        f"the mixer learnt from experts that did not know the movie: {settings.inner_folds} inner "
        f"folds, {settings.inner.epochs} epochs"
    )


def _number(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"
