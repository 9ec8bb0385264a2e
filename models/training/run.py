"""A whole training: projections, experts, mixer, threshold, checkpoint and model card."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch

from streamer.errors import DatasetError
from streamer.files import write_atomically
from streamer.models.catalogue import EXPERT_ROWS
from streamer.models.checkpoint import round_to_half, save_moae
from streamer.models.evaluation.metrics import Metrics, best_threshold, measure
from streamer.models.mixture import AspectInput, Moae, MoaeConfig
from streamer.models.training.alpha import choose_alphas
from streamer.models.training.card import model_card
from streamer.models.training.experts import ExpertJob, ExpertOutcome, best_outcome
from streamer.models.training.inner import InnerFolds, inner_groups, train_inner_folds
from streamer.models.training.mixer import relate_corpus, score_corpus, train_mixer
from streamer.models.training.parallel import train_experts
from streamer.models.training.prepare import CORPUS, check_labels, prepare
from streamer.models.training.settings import TrainingSettings, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from streamer.models.dataset.corpus import Corpus
    from streamer.models.dataset.folder import AspectSummary, DatasetFolder
    from streamer.models.experts.tokens import Projection
    from streamer.models.training.loop import Progress


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training leaves behind.

    Attributes:
        checkpoint: The mixture.
        card: Markdown beside it.
        sha256: Of the checkpoint.
        threshold: Chosen on held-out movies, or on the training movies without any.
        metrics: On the movies the threshold was chosen on: optimistic, not a result.
    """

    checkpoint: Path
    card: Path
    sha256: str
    threshold: float
    metrics: Metrics


def train_mixture(
    dataset: DatasetFolder,
    out: Path,
    settings: TrainingSettings,
    held: Sequence[str] = (),
    workers: int = 1,
    device: str = "cpu",
    report: Callable[[str, Progress], None] = lambda _label, _progress: None,
) -> Trained:
    """Trains experts and mixer and writes them; a killed run goes on where it was.

    Args:
        dataset: Annotated movies.
        out: Folder for the results and, under ``state/``, what a killed run goes on from.
        settings: Hyperparameters.
        held: Movies kept back: epochs, the threshold and, without inner folds, learning rates are
            chosen on them. Without any, the threshold is chosen on training movies, judged by
            experts that do not know them if there are inner folds.
        workers: Experts trained at a time.
        device: Where training runs.
        report: Called with what is trained, after every epoch.

    Raises:
        DatasetError: Unknown movies, no movie to train on, no scene boundary among them, no
            expert whose aspects are there, or training diverged.
    """
    train = _training_names(dataset, held)
    if settings.inner_folds:
        # Before hours are spent on reading.
        inner_groups(range(len(train)), settings.inner_folds)
    aspects = dataset.aspects()
    experts = [row for row in EXPERT_ROWS if all(aspect in aspects for aspect in row.aspects)]
    if not experts:
        raise DatasetError(
            f"{dataset.path} has only {', '.join(aspects) or 'no aspects'}: "
            "no expert can be trained"
        )
    used = {aspect: aspects[aspect] for row in experts for aspect in row.aspects}
    hashes = {name: file_digest(dataset.path / f"{name}.safetensors") for name in dataset.names}
    told = json.dumps([hashes, sorted(held), [row.name for row in experts]])
    state = out / "state" / settings.fingerprint(told)
    projections, corpus = prepare(dataset, train, used, settings, state)
    train_rows = tuple(i for i, name in enumerate(corpus.names) if name in train)
    held_rows = tuple(i for i, name in enumerate(corpus.names) if name not in train)
    check_labels(corpus, train_rows)

    inner: InnerFolds | None = None
    if settings.inner_folds:
        inner = train_inner_folds(
            corpus,
            state / CORPUS,
            [row.name for row in experts],
            settings,
            train_rows,
            state,
            workers,
            device,
            report,
        )
    jobs = [
        ExpertJob(
            row=row.name,
            rate=rate,
            settings=settings,
            train=train_rows,
            held=held_rows,
            state=state / f"{row.name}-{rate:g}.safetensors",
            device=device,
        )
        for row in experts
        for rate in settings.rates
        if inner is None or rate == inner.rates[row.name]
    ]
    outcomes = train_experts(state / CORPUS, jobs, workers, report)
    chosen = [
        best_outcome([outcome for outcome in outcomes if outcome.job.row == row.name])
        for row in experts
    ]

    def make(row: str, alpha: float) -> Moae:
        config = mixture_config(settings, used, [row.name for row in experts], row, alpha)
        made = assemble(config, projections, chosen, settings.seed).to(device)
        # What is measured is what will be stored.
        round_to_half(made.experts)
        return made

    model = make(settings.row, settings.alphas[0])
    judges = {} if inner is None else inner_judges(model, projections, inner, settings.seed)
    relations = {
        movie: relate_corpus(judges.get(movie, model), corpus, movie)
        for movie in range(len(corpus.names))
    }
    alpha = choose_alphas(
        make,
        [settings.row],
        corpus,
        relations,
        settings,
        train_rows,
        state / "alphas.safetensors",
        lambda progress: report("alphas of the mixer", progress),
        judges,
    )[settings.row]
    model.config = config = model.config.model_copy(update={"alpha": alpha})
    mixer = train_mixer(
        model,
        corpus,
        relations,
        settings,
        train_rows,
        held_rows,
        state / f"{settings.row}.safetensors",
        lambda progress: report(settings.row, progress),
        judges,
    )
    round_to_half(model.mixer)
    scored = [
        score_corpus(judges.get(movie, model), corpus, relations, [movie], settings.lookahead)[0]
        for movie in held_rows or train_rows
    ]
    threshold = best_threshold(scored)
    model.config = config.model_copy(update={"threshold": threshold})
    metrics = measure(scored, threshold)
    card = model_card(
        settings=settings,
        config=model.config,
        hashes=hashes,
        train=[corpus.names[row] for row in train_rows],
        held=[corpus.names[row] for row in held_rows],
        outcomes=chosen,
        mixer=mixer,
        metrics=metrics,
        corpus=corpus,
    )
    name = settings.row.lower()
    checkpoint = out / f"{name}.safetensors"
    digest = save_moae(
        model.cpu(),
        checkpoint,
        {
            "trained_on": f"{len(train_rows)} movies, {_shots(corpus, train_rows)} shots",
            "held_out": f"{len(held_rows)} movies, {_shots(corpus, held_rows)} shots",
            "seed": str(settings.seed),
            "torch": torch.__version__,
        },
    )
    write_atomically(out / f"{name}.md", card.replace("{sha256}", digest).encode())
    write_atomically(
        out / f"{name}.json",
        json.dumps(
            {
                "sha256": digest,
                "settings": settings.model_dump(mode="json"),
                "metrics": asdict(metrics),
                "experts": {o.job.row: [o.job.rate, asdict(o.progress)] for o in chosen},
                "mixer": asdict(mixer),
            },
            indent=1,
        ).encode(),
    )
    return Trained(checkpoint, out / f"{name}.md", digest, threshold, metrics)


def assemble(
    config: MoaeConfig,
    projections: dict[str, Projection],
    outcomes: Sequence[ExpertOutcome],
    seed: int,
) -> Moae:
    """Puts trained experts and a fresh mixer together.

    Args:
        config: Of the mixture.
        projections: Fitted, one an aspect.
        outcomes: One for each expert of the configuration.
        seed: Of the mixer's weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, config.row, "weights"))
        model = Moae(config)
    for aspect, projection in projections.items():
        model.projection(aspect).load_state_dict(projection.state_dict())
    for outcome in outcomes:
        model.expert(outcome.job.row).load_state_dict(outcome.weights)
    return model.eval()


def inner_judges(
    model: Moae, projections: dict[str, Projection], inner: InnerFolds, seed: int
) -> dict[int, Moae]:
    """Mixtures that share a model's mixer, but have experts that do not know a movie.

    Args:
        model: Of the whole training.
        projections: Fitted, one an aspect.
        inner: Experts of the inner folds; every expert of the model.
        seed: Of the training.

    Returns:
        Training movie → the mixture that may judge it.
    """
    judges: dict[int, Moae] = {}
    for group, known in zip(inner.groups, inner.experts, strict=True):
        outcomes = [known[name] for name in model.config.experts]
        judge = assemble(model.config, projections, outcomes, seed).to(model.device)
        judge.mixer = model.mixer
        judges |= dict.fromkeys(group, judge)
    return judges


def _training_names(dataset: DatasetFolder, held: Sequence[str]) -> set[str]:
    unknown = sorted(set(held) - set(dataset.names))
    if unknown:
        raise DatasetError(f"there is no movie {unknown[0]!r} in {dataset.path}")
    train = set(dataset.names) - set(held)
    if not train:
        raise DatasetError("every movie is held out: there is none to train on")
    return train


def mixture_config(
    settings: TrainingSettings,
    used: dict[str, AspectSummary],
    experts: list[str],
    row: str,
    alpha: float,
) -> MoaeConfig:
    """Describes a mixture before there is one.

    Args:
        settings: Of its training.
        used: What its experts look at.
        experts: Their printed names.
        row: Its own.
        alpha: Scale of its constraint.
    """
    return MoaeConfig(
        row=row,
        experts=tuple(experts),
        aspects={
            aspect: AspectInput(network=summary.extractor, dim=summary.dim)
            for aspect, summary in used.items()
        },
        sequence=settings.sequence,
        reach=settings.reach,
        masked=settings.masked,
        alpha=alpha,
        beta=settings.beta,
        lookahead=settings.lookahead,
        size=settings.size,
        mixer=settings.mixer_size,
    )


def _shots(corpus: Corpus, movies: Sequence[int]) -> int:
    return sum(len(corpus.rows(movie)) for movie in movies)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
