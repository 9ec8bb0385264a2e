"""One fold of the comparison: every row trained on its training movies, measured on the others."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from streamer.models.catalogue import ACOUSTIC_ASPECTS, EXPERT_ROWS, PLACE, ROWS, Row, find_row
from streamer.models.evaluation.metrics import ScoredMovie, best_threshold, measure
from streamer.models.evaluation.scoring import score_relations
from streamer.models.mixer.ensembles import Votes, fit_ensemble
from streamer.models.relations.crossval import Described, Experts, System, judge_fold
from streamer.models.tables.everywhere import Everywhere, decided, judge_everywhere
from streamer.models.tables.results import OFFLINE, FoldResult, Scores, WeightTrack
from streamer.models.training.alpha import choose_alphas
from streamer.models.training.experts import ExpertJob
from streamer.models.training.inner import train_inner_folds
from streamer.models.training.mixer import relate_corpus, scored_movie, train_mixers
from streamer.models.training.parallel import train_experts
from streamer.models.training.prepare import CORPUS, check_labels, prepare
from streamer.models.training.run import assemble, inner_judges, mixture_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from streamer.models.dataset.corpus import Corpus
    from streamer.models.dataset.folder import AspectSummary, DatasetFolder
    from streamer.models.experts.tokens import Projection
    from streamer.models.mixture import Moae
    from streamer.models.training.experts import ExpertOutcome
    from streamer.models.training.inner import InnerFolds
    from streamer.models.training.parallel import Report
    from streamer.models.training.settings import TrainingSettings

STUDIED: Final = "MOAE_A"
"""The row whose look-ahead, missing sound and weights are studied, as in the paper's Figure 2."""
NOTHING: Final = "nothing"
ALL_SOUND: Final = "all sound"


def available_rows(aspects: Mapping[str, AspectSummary]) -> list[Row]:
    """Rows of the tables of which every aspect is there, in the tables' order."""
    return [row for row in ROWS if all(aspect in aspects for aspect in row.aspects)]


def run_fold(
    dataset: DatasetFolder,
    test: Sequence[str],
    settings: TrainingSettings,
    state: Path,
    workers: int,
    device: str,
    report: Report,
) -> FoldResult:
    """Trains and measures every row on one fold; a killed run goes on where it was.

    Learning rates, thresholds, stacking and the mixers all follow from outputs of experts on
    movies that these were not trained on (inner folds); the test movies decide nothing.

    Args:
        dataset: All movies.
        test: Names of the test movies.
        settings: Of all trainings; ``row`` is not used, ``inner_folds`` is at least 2.
        state: Folder of this fold's state.
        workers: Experts trained at a time.
        device: Where training runs.
        report: Called with what is trained, after every epoch.

    Raises:
        DatasetError: A movie is invalid, or the training movies cannot be learnt from.
    """
    clock = _Clock()
    aspects = dataset.aspects()
    rows = available_rows(aspects)
    singles = [row.name for row in rows if row.table == 2]
    used = {a: aspects[a] for row in rows if row.table == 2 for a in row.aspects}
    train = set(dataset.names) - set(test)
    projections, corpus = prepare(dataset, train, used, settings, state)
    known = tuple(i for i, name in enumerate(corpus.names) if name in train)
    unknown = tuple(i for i, name in enumerate(corpus.names) if name not in train)
    check_labels(corpus, known)
    clock.lap("preparation")
    inner = train_inner_folds(
        corpus, state / CORPUS, singles, settings, known, state, workers, device, report
    )
    clock.lap("experts of the inner folds")
    jobs = [
        ExpertJob(
            row=name,
            rate=inner.rates[name],
            settings=settings,
            train=known,
            held=(),
            state=state / f"{name}-{inner.rates[name]:g}.safetensors",
            device=device,
            judged=unknown,
        )
        for name in singles
    ]
    outcomes = {each.job.row: each for each in train_experts(state / CORPUS, jobs, workers, report)}
    clock.lap("experts")
    thresholds = {
        name: best_threshold(_joined(corpus, known, inner.scores(name))) for name in singles
    }
    scores = {
        name: Scores.of(_joined(corpus, unknown, outcomes[name].scores), thresholds[name])
        for name in singles
    }
    result = FoldResult(test=tuple(test), rows=scores, rates=dict(inner.rates))
    if any(row.kind == "mixture" for row in rows):
        mixtures = _Mixtures(corpus, known, unknown, settings, used)
        result = mixtures.run(
            result, projections, inner, outcomes, thresholds, state, device, report, clock
        )
    result = result.model_copy(
        update={"rows": result.rows | _relation_scores(dataset, test, rows, settings)}
    )
    clock.lap("relation experts")
    return result.model_copy(update={"seconds": clock.seconds, "cpu": clock.cpu})


def _relation_scores(
    dataset: DatasetFolder, test: Sequence[str], rows: Sequence[Row], settings: TrainingSettings
) -> dict[str, Scores]:
    """Trains and measures the relation experts, which wait as long as the mixtures do."""
    ours = [row for row in rows if row.kind == "relation"]
    aspects = sorted({aspect for row in ours for aspect in row.aspects})
    ahead = settings.reach + settings.lookahead
    described = [
        Described.of(movie, str(dataset.path), ahead, aspects)
        for movie in dataset.movies()
        if ours and movie.shots > 1
    ]
    experts: Experts = {}
    scores = {}
    for row in ours:
        system = System(row.name, (str(dataset.path),), unseen=False, aspects=row.aspects)
        judged = judge_fold(
            described,
            test,
            system,
            ahead=ahead,
            inner_folds=settings.inner_folds,
            experts=experts,
        )
        if judged.movies:
            scores[row.name] = Scores.of(judged.movies, judged.threshold)
    return scores


@dataclass(frozen=True, slots=True)
class _Mixtures:
    """Table III on one fold.

    Attributes:
        corpus: All movies.
        known: Indices of the training movies.
        unknown: Indices of the test movies.
        settings: Of all trainings.
        used: What the single systems look at.
    """

    corpus: Corpus
    known: tuple[int, ...]
    unknown: tuple[int, ...]
    settings: TrainingSettings
    used: dict[str, AspectSummary]

    def run(
        self,
        result: FoldResult,
        projections: dict[str, Projection],
        inner: InnerFolds,
        outcomes: Mapping[str, ExpertOutcome],
        thresholds: Mapping[str, float],
        state: Path,
        device: str,
        report: Report,
        clock: _Clock,
    ) -> FoldResult:
        """Adds the rows of Table III and the studies of ``STUDIED``."""
        names = [row.name for row in EXPERT_ROWS]
        used = {a: self.used[a] for row in EXPERT_ROWS for a in row.aspects}
        ours = {a: projections[a] for a in used}
        seed = self.settings.seed

        def make(row: str, alpha: float) -> Moae:
            config = mixture_config(self.settings, used, names, row, alpha)
            experts = [outcomes[name] for name in names]
            return assemble(config, ours, experts, seed).to(device)

        base = make(STUDIED, self.settings.alphas[0])
        known = inner_judges(base, ours, inner, seed)
        relations = {
            movie: relate_corpus(known.get(movie, base), self.corpus, movie)
            for movie in (*self.known, *self.unknown)
        }
        alphas = choose_alphas(
            make,
            [row.name for row in ROWS if row.kind == "mixture"],
            self.corpus,
            relations,
            self.settings,
            self.known,
            state / "alphas.safetensors",
            lambda progress: report("alphas of the mixers", progress),
            known,
        )
        clock.lap("alphas")
        models = {row: make(row, alpha) for row, alpha in alphas.items()}
        judges = {row: inner_judges(model, ours, inner, seed) for row, model in models.items()}
        studied = models[STUDIED]
        train_mixers(
            models,
            self.corpus,
            relations,
            self.settings,
            self.known,
            state / "mixers.safetensors",
            lambda progress: report("mixers", progress),
            judges[STUDIED],
        )
        clock.lap("mixers")
        said: dict[int, Everywhere] = {}
        for movie in (*self.known, *self.unknown):
            by = {name: judges[name].get(movie, model) for name, model in models.items()}
            said[movie] = judge_everywhere(by, relations[movie])
        wait = self.settings.lookahead
        rows = dict(result.rows)
        rows |= {name: self._score(said, name, wait) for name in models}
        rows |= self._ensembles(said, [thresholds[name] for name in names])
        lookahead = {str(k): self._score(said, STUDIED, k) for k in range(self.settings.sequence)}
        lookahead[OFFLINE] = self._score(said, STUDIED, None)
        missing = self._missing(studied, said, rows[STUDIED].threshold)
        tracks = {
            self.corpus.names[movie]: self._track(studied, said[movie], movie)
            for movie in self.unknown
        }
        clock.lap("scoring")
        return result.model_copy(
            update={
                "rows": rows,
                "alphas": {row: alphas[row] for row in models if find_row(row).constraint},
                "lookahead": lookahead,
                "missing": missing,
                "tracks": tracks,
            }
        )

    def _score(self, said: Mapping[int, Everywhere], name: str, lookahead: int | None) -> Scores:
        """Chooses the threshold on training movies, measures on test movies."""
        scores = {movie: decided(each.scores[name], lookahead) for movie, each in said.items()}
        threshold = best_threshold(_joined(self.corpus, self.known, scores))
        return Scores.of(_joined(self.corpus, self.unknown, scores), threshold)

    def _ensembles(
        self, said: Mapping[int, Everywhere], thresholds: Sequence[float]
    ) -> dict[str, Scores]:
        wait = self.settings.lookahead
        votes = {
            movie: Votes(decided(each.probability, wait), decided(each.present, wait))
            for movie, each in said.items()
        }
        labels = np.concatenate([self.corpus.labels(movie) for movie in self.known])
        joined = Votes.joined([votes[movie] for movie in self.known])
        scores = {}
        for row in ROWS:
            if row.kind != "ensemble":
                continue
            ensemble = fit_ensemble(row.name, joined, labels, thresholds)
            scored = {movie: ensemble.score(each) for movie, each in votes.items()}
            threshold = ensemble.threshold
            if threshold is None:
                threshold = best_threshold(_joined(self.corpus, self.known, scored))
            # Experts that vote at thresholds of their own do not at 0.5.
            halves = fit_ensemble(row.name, joined, labels, [0.5] * len(thresholds))
            plain = {movie: halves.score(votes[movie]) for movie in self.unknown}
            at_half = measure(_joined(self.corpus, self.unknown, plain), halves.threshold or 0.5)
            found = Scores.of(_joined(self.corpus, self.unknown, scored), threshold)
            scores[row.name] = found.model_copy(update={"f1_half": at_half.f1})
        return scores

    def _missing(
        self, model: Moae, said: Mapping[int, Everywhere], threshold: float
    ) -> dict[str, Scores]:
        wait = self.settings.lookahead
        cases: dict[str, tuple[str, ...]] = {NOTHING: ()}
        cases |= {aspect: (aspect,) for aspect in (*ACOUSTIC_ASPECTS, PLACE)}
        cases[ALL_SOUND] = ACOUSTIC_ASPECTS
        scores = {}
        for case, without in cases.items():
            scored = {}
            for movie in self.unknown:
                if without:
                    related = relate_corpus(model, self.corpus, movie, without)
                    scored[movie] = score_relations(model, related, wait).scores
                else:
                    scored[movie] = decided(said[movie].scores[STUDIED], wait)
            scores[case] = Scores.of(_joined(self.corpus, self.unknown, scored), threshold)
        return scores

    def _track(self, model: Moae, said: Everywhere, movie: int) -> WeightTrack:
        wait = self.settings.lookahead
        rows = self.corpus.rows(movie)
        weights = decided(said.weights[STUDIED], wait).astype(np.float64)
        return WeightTrack(
            experts=model.config.experts,
            start=tuple(self.corpus.start[rows.start : rows.stop].tolist()),
            end=tuple(self.corpus.end[rows.start : rows.stop].tolist()),
            labels=tuple(self.corpus.labels(movie).tolist()),
            scores=tuple(decided(said.scores[STUDIED], wait).round(5).tolist()),
            weights=tuple(tuple(row) for row in weights.round(5).tolist()),
        )


class _Clock:
    """Seconds and seconds of processors by stage, ended processes included."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self._last, self._spent = time.monotonic(), _spent()

    def lap(self, stage: str) -> None:
        """Ends a stage."""
        now, spent = time.monotonic(), _spent()
        self.seconds[stage] = round(now - self._last, 1)
        self.cpu[stage] = round(spent - self._spent, 1)
        self._last, self._spent = now, spent


def _spent() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _joined(
    corpus: Corpus, movies: Sequence[int], scores: Mapping[int, np.ndarray]
) -> list[ScoredMovie]:
    return [scored_movie(corpus, movie, scores[movie]) for movie in movies]
