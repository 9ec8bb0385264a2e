"""The whole comparison: folds by movie, every row, reports and figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from streamer.errors import ConfigError, DatasetError
from streamer.files import write_atomically
from streamer.models.catalogue import ROWS
from streamer.models.tables.fold import STUDIED, available_rows, run_fold
from streamer.models.tables.folds import check_folds, count_boundaries, make_folds, named_fold
from streamer.models.tables.frames import film_of, frames_at
from streamer.models.tables.report import as_markdown, folds_csv, study_csv, table_csv
from streamer.models.tables.results import FoldResult, load_fold, save_fold
from streamer.models.training.run import file_digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from streamer.models.dataset.folder import DatasetFolder
    from streamer.models.tables.figures import Frames
    from streamer.models.training.loop import Progress
    from streamer.models.training.parallel import Report
    from streamer.models.training.settings import TrainingSettings


@dataclass(frozen=True, slots=True)
class Tables:
    """What a comparison leaves behind.

    Attributes:
        folds: Results, fold by fold.
        markdown: Both tables, gains and studies for people; also written as ``tables.md``.
        files: Everything written.
    """

    folds: tuple[FoldResult, ...]
    markdown: str
    files: tuple[Path, ...]


def make_tables(
    dataset: DatasetFolder,
    out: Path,
    settings: TrainingSettings,
    folds: int = 5,
    workers: int = 1,
    device: str = "cpu",
    films: Path | None = None,
    movie: str | None = None,
    report: Report = lambda _label, _progress: None,
    test: Sequence[str] = (),
    seeds: int = 1,
) -> Tables:
    """Cross validation by movie of every row (paper, section III-A), reports and figures.

    With movies to test on, all others train, once a seed; deviations are then over seeds.

    Started again after a kill it goes on where it was. Nothing but ``state/`` is written before
    all folds are done.

    Args:
        dataset: Annotated movies.
        out: Folder for the results and, under ``state/``, what a killed run goes on from.
        settings: Of all trainings; ``row`` is not used.
        folds: How many; every movie is tested in one.
        workers: Experts trained at a time.
        device: Where training runs.
        films: Folder of the films, for key frames in the figure; a film has its movie's name.
        movie: Whose weights are drawn; None takes the first one with a scene boundary.
        report: Called with what is trained, after every epoch.
        test: Movies to test on instead of cross validation.
        seeds: Trainings to test on them, at the settings' seed and those that follow.

    Raises:
        ConfigError: The settings have no inner folds, or there are seeds but no test movies.
        DatasetError: See ``make_folds``, ``check_folds`` and ``run_fold``; or no row can be
            trained, or the movie to draw is not there.
    """
    if settings.inner_folds < 2:
        raise ConfigError("the tables choose thresholds on inner folds: at least 2 are needed")
    aspects = dataset.aspects()
    rows = available_rows(aspects)
    if not rows:
        raise DatasetError(
            f"{dataset.path} has only {', '.join(aspects) or 'no aspects'}: no row can be trained"
        )
    if movie is not None and movie not in dataset.names:
        raise DatasetError(f"there is no movie {movie!r} in {dataset.path}")
    if seeds > 1 and not test:
        raise ConfigError("several seeds need movies to test on")
    counts = count_boundaries(dataset)
    if test:
        dealt = (named_fold(dataset.names, test),) * seeds
    else:
        dealt = make_folds(dataset.names, folds, settings.seed)
    check_folds(dealt[:1] if test else dealt, counts)
    hashes = {name: file_digest(dataset.path / f"{name}.safetensors") for name in dataset.names}
    kept = settings.fingerprint(json.dumps([hashes, sorted(test) or folds]))
    state = out / "state" / kept
    part = "seed" if test else "fold"
    results: list[FoldResult] = []
    for number, tested in enumerate(dealt):
        done = state / f"{part}{number}.json"
        if done.exists():
            results.append(load_fold(done))
            continue
        ours = settings.model_copy(update={"seed": settings.seed + number}) if test else settings
        result = run_fold(
            dataset,
            tested,
            ours,
            state / f"{part}{number}",
            workers,
            device,
            partial(_told, report, f"{part} {number + 1}/{len(dealt)} "),
        )
        save_fold(result, done)
        results.append(result)
    markdown = as_markdown(results, _about(dataset, counts, settings, part, len(dealt)), part)
    content = {
        "tables.md": markdown.encode(),
        "table2.csv": table_csv(results, 2).encode(),
        "table3.csv": table_csv(results, 3).encode(),
        "relations.csv": table_csv(results, 4).encode(),
        "folds.csv": folds_csv(results).encode(),
    }
    if results[0].lookahead:
        content["lookahead.csv"] = study_csv(results, "lookahead").encode()
        content["missing.csv"] = study_csv(results, "missing").encode()
        content |= _figures(results, films, movie)
    for name, each in content.items():
        write_atomically(out / name, each)
    return Tables(tuple(results), markdown, tuple(out / name for name in content))


def _told(report: Report, where: str, label: str, progress: Progress) -> None:
    report(where + label, progress)


def _figures(
    results: Sequence[FoldResult], films: Path | None, movie: str | None
) -> dict[str, bytes]:
    from streamer.models.tables.figures import lookahead_figure, rendered, weights_figure

    tracks = {name: (fold, track) for fold in results for name, track in fold.tracks.items()}
    name = movie or next(name for name in sorted(tracks) if any(tracks[name][1].labels))
    fold, track = tracks[name]
    frames: Frames | None = None
    if films is not None:
        film = film_of(films, name)
        if film is None:
            raise DatasetError(f"{films} holds no film of the movie {name}")
        frames = partial(frames_at, film)
    figures = {
        "weights": weights_figure(name, track, fold.rows[STUDIED].threshold, frames),
        "lookahead": lookahead_figure(results),
    }
    return {
        f"{title}.{kind}": rendered(figure, kind)
        for title, figure in figures.items()
        for kind in ("png", "svg")
    }


def _about(
    dataset: DatasetFolder,
    counts: Mapping[str, tuple[int, int]],
    settings: TrainingSettings,
    part: str,
    parts: int,
) -> list[str]:
    shots = sum(count for count, _ in counts.values())
    found = sum(count for _, count in counts.values())
    aspects = dataset.aspects()
    quiet = [name for name, (_, count) in counts.items() if not count]
    absent = [row.name for row in ROWS if row not in available_rows(aspects)]
    dealt = f"{parts} folds by movie, seed {settings.seed}"
    if part == "seed":
        drawn = ", ".join(str(settings.seed + number) for number in range(parts))
        dealt = f"the same movies test in each training, seeds {drawn}"
    lines = [
        "# Tables",
        "",
        f"{len(counts)} movies, {shots} shots, {found} scene boundaries; {dealt}.",
        f"Experts {settings.epochs} epochs, those of the {settings.inner_folds} inner folds "
        f"{settings.inner.epochs}, learning rate from {list(settings.rates)}; mixers "
        f"{settings.mixer_epochs} epochs at {settings.mixer_rate:g}, alpha from "
        f"{list(settings.alphas)}, K = {settings.masked}; look-ahead {settings.lookahead}.",
        "Learning rates, alphas, thresholds, stacking and mixers follow from outputs of experts on",
        "movies that these experts were not trained on; test movies decide nothing.",
        "",
        "| aspect | network | dim |",
        "|---|---|---|",
        *(f"| {name} | {each.extractor} | {each.dim} |" for name, each in aspects.items()),
    ]
    if quiet:
        lines += ["", f"Without any scene boundary, and so without AP: {', '.join(quiet)}."]
    if absent:
        lines += ["", f"n/a, for aspects are missing: {', '.join(absent)}."]
    return lines
