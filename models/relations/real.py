"""Relation experts and baselines on real films, by a fixed protocol: several networks a film."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from dataclasses import asdict, dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.errors import ConfigError, DatasetError
from streamer.files import write_atomically
from streamer.models.catalogue import PLACE
from streamer.models.evaluation.metrics import MovieMetrics, measure_movie
from streamer.models.relations.crossval import (
    Described,
    Experts,
    System,
    bootstrap,
    deal,
    judge_fold,
    root_histograms,
)
from streamer.models.relations.features import similarity_width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from streamer.models.dataset.folder import DatasetFolder

FUSED: Final = "joined"


class Protocol(BaseModel):
    """How films are dealt and what is tested; see ``protocol.toml``.

    Attributes:
        folds: By film.
        inner_folds: Of training films, for thresholds.
        lookahead: Shots after a boundary that are waited for.
        lookaheads: Others to measure the joined expert at.
        penalty: Inverse strength of the penalty.
        tested: Datasets whose scores are joined, each absent from training when tested.
        histograms: Datasets of histograms, of which square roots are taken.
        bootstrap: Resampled means.
        seed: Of the bootstrap.
        sets: Name of a set → how its films' names begin.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: int = Field(ge=2)
    inner_folds: int = Field(ge=2)
    lookahead: int = Field(ge=1, le=16)
    lookaheads: tuple[int, ...]
    penalty: float = Field(gt=0)
    tested: tuple[str, ...]
    histograms: tuple[str, ...]
    bootstrap: int = Field(ge=1, le=1_000_000)
    seed: int
    sets: dict[str, str]


def read_protocol(path: Path | None = None) -> Protocol:
    """Reads a protocol.

    Args:
        path: A TOML file; None takes the one in the package.

    Raises:
        ConfigError: It cannot be read, or a value is wrong.
    """
    try:
        if path is None:
            text = resources.files(__package__).joinpath("protocol.toml").read_text("utf-8")
        else:
            text = path.read_text("utf-8")
        return Protocol.model_validate(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: {where}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"the protocol {path} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True)
class RealRow:
    """One system on one dataset, or on several joined.

    Attributes:
        system: Printed name.
        network: Name of the tested dataset, or ``joined``.
        lookahead: Shots.
        movies: Metrics of each film, at the threshold of its fold.
    """

    system: str
    network: str
    lookahead: int
    movies: tuple[MovieMetrics, ...]


def measure_real(
    datasets: Sequence[DatasetFolder],
    protocol: Protocol,
    report: Callable[[str], None] = lambda _line: None,
) -> tuple[RealRow, ...]:
    """Trains and measures every row on every fold.

    Args:
        datasets: Folders of the same films by several networks; a folder's name is its network's.
        protocol: Decides everything else.
        report: Called with what is done next.

    Raises:
        ConfigError: Fewer than two datasets, two of one name, or none that is to be tested.
        DatasetError: A film's datasets disagree about its shots or scenes, or one is invalid.
    """
    names = [dataset.path.resolve().name for dataset in datasets]
    if len(set(names)) < len(names):
        raise ConfigError("two datasets have the same name; rename a folder after its network")
    if len(names) < 2:
        raise ConfigError("a network that is absent from training needs another dataset")
    tested = tuple(name for name in protocol.tested if name in names)
    if not tested:
        raise ConfigError(f"none of the datasets is called {' or '.join(protocol.tested)}")
    rows: list[RealRow] = []
    ordered = (protocol.lookahead, *(n for n in protocol.lookaheads if n != protocol.lookahead))
    for ahead in ordered:
        report(f"relations at a look-ahead of {ahead} shots")
        described = _described(datasets, names, protocol, ahead)
        experts: Experts = {}
        plain = tuple(range(similarity_width(ahead)))
        systems = [System("REL_place", tested, unseen=True, aspects=(PLACE,))]
        if ahead == protocol.lookahead:
            systems = [
                System("novelty", tested, True, (PLACE,), trained=False),
                System("LR_similarities", tested, True, (PLACE,), columns=plain),
                *systems,
                System("REL_place, network seen", tested, unseen=False, aspects=(PLACE,)),
            ]
            systems += [
                System(one.name, (name,), one.unseen, (PLACE,), one.trained, one.columns)
                for one in systems
                for name in names
                if name in tested or one.name == "REL_place"
            ]
        for system in systems:
            network = FUSED if len(system.tested) > 1 else system.tested[0]
            report(f"{system.name}, {network}, look-ahead {ahead}")
            measured: list[MovieMetrics] = []
            for test in deal([each.related.name for each in described], protocol.folds):
                judged = judge_fold(
                    described,
                    test,
                    system,
                    ahead=ahead,
                    inner_folds=protocol.inner_folds,
                    penalty=protocol.penalty,
                    experts=experts,
                )
                measured += [measure_movie(movie, judged.threshold) for movie in judged.movies]
            rows.append(RealRow(system.name, network, ahead, tuple(measured)))
    return tuple(rows)


def make_real_tables(
    datasets: Sequence[DatasetFolder],
    out: Path,
    protocol: Protocol,
    report: Callable[[str], None] = lambda _line: None,
) -> tuple[str, tuple[Path, ...]]:
    """Measures and writes ``real.md``, ``real.csv`` and ``real.json``; see ``measure_real``.

    Returns:
        The text of ``real.md``, and the files.
    """
    rows = measure_real(datasets, protocol, report)
    markdown = as_markdown(rows, protocol)
    content = {
        "real.md": markdown,
        "real.csv": _as_csv(rows),
        "real.json": json.dumps(
            {
                "protocol": protocol.model_dump(mode="json"),
                "datasets": {each.path.resolve().name: len(each.names) for each in datasets},
                "rows": [asdict(row) for row in rows],
            },
            indent=1,
        ),
    }
    for name, text in content.items():
        write_atomically(out / name, text.encode())
    return markdown, tuple(out / name for name in content)


def as_markdown(rows: Sequence[RealRow], protocol: Protocol) -> str:
    """The comparison for people: a line a row, AP by set, and intervals over films."""
    titles = (
        "system",
        "network tested",
        "look-ahead",
        "films",
        *protocol.sets,
        "AP (95 %)",
        "F1 (95 %)",
    )
    lines = [
        "# Real films",
        "",
        f"{protocol.folds} folds by film. A tested network is absent from training unless the row "
        "says it was seen.",
        f"`{FUSED}` is the mean logit of {' and '.join(protocol.tested)}, each by an expert that "
        "never saw it.",
        "Means over films; intervals by bootstrap over films; thresholds from training films.",
        "",
        f"| {' | '.join(titles)} |",
        f"|{'---|' * len(titles)}",
    ]
    for row in rows:
        ap = _values(row, "ap")
        cells = [row.system, row.network, str(row.lookahead), str(len(row.movies))]
        for prefix in protocol.sets.values():
            mine = [value for name, value in ap.items() if name.startswith(prefix)]
            cells.append(f"{sum(mine) / len(mine):.3f}".replace("0.", ".") if mine else "")
        for values in (ap, _values(row, "f1")):
            cells.append(
                str(bootstrap(values, protocol.bootstrap, protocol.seed)) if values else ""
            )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _values(row: RealRow, metric: str) -> dict[str, float]:
    found = {movie.name: getattr(movie, metric) for movie in row.movies}
    return {name: value for name, value in found.items() if value is not None}


def _as_csv(rows: Sequence[RealRow]) -> str:
    text = io.StringIO()
    columns = ("ap", "miou", "recall", "precision", "f1", "recall_3s")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("system", "network", "lookahead", "film", *columns))
    for row in rows:
        for movie in row.movies:
            values = [getattr(movie, column) for column in columns]
            shown = ["" if value is None else f"{value:.6f}" for value in values]
            writer.writerow((row.system, row.network, row.lookahead, movie.name, *shown))
    return text.getvalue()


def _described(
    datasets: Sequence[DatasetFolder], names: Sequence[str], protocol: Protocol, ahead: int
) -> list[Described]:
    described: list[Described] = []
    first: dict[str, Described] = {}
    for dataset, network in zip(datasets, names, strict=True):
        for movie in dataset.movies():
            if PLACE not in movie.aspects:
                raise DatasetError(f"movie {movie.name} of {network} has no aspect {PLACE}")
            if movie.shots < 2:
                continue
            taken = root_histograms(movie) if network in protocol.histograms else movie
            each = Described.of(taken, network, ahead, (PLACE,))
            other = first.setdefault(movie.name, each)
            if not _same(other.movie, movie):
                raise DatasetError(
                    f"movie {movie.name}: {network} and {other.related.network} disagree about "
                    "its shots or scenes"
                )
            described.append(each)
    return described


def _same(one: object, other: object) -> bool:
    import numpy as np

    return all(
        np.array_equal(getattr(one, key), getattr(other, key))
        for key in ("start", "end", "boundary")
    )
