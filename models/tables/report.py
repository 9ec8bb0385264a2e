"""Both tables, the gains, the look-ahead and the missing sound, as Markdown and CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from streamer.models.catalogue import ROWS
from streamer.models.tables.fold import STUDIED
from streamer.models.tables.results import METRICS, Scores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from streamer.models.tables.results import FoldResult

TITLES: Final = ("AP", "AP pooled", "Miou", "Recall", "Precision", "F1", "Recall@3s", "F1 at 0.5")
_MISSING = "n/a"
_SINGLE = tuple(row.name for row in ROWS if row.table == 2)
_FUSION = tuple(row.name for row in ROWS if row.kind == "ensemble")


@dataclass(frozen=True, slots=True)
class Spread:
    """A metric over folds.

    Attributes:
        mean: Over the folds in which it is defined.
        deviation: Of the sample (divided by folds - 1); None with a single fold.
    """

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Mean and deviation of at least one value."""
        return cls(float(np.mean(values)), float(np.std(values, ddof=1)) if values[1:] else None)

    def __str__(self) -> str:
        """In percent, as the paper prints."""
        if self.deviation is None:
            return f"{100 * self.mean:.1f}"
        return f"{100 * self.mean:.1f} ± {100 * self.deviation:.1f}"


@dataclass(frozen=True, slots=True)
class Gain:
    """A relative gain that the paper quotes (section IV), or one of ours.

    Attributes:
        better: Row said to be better.
        worse: Rows it is compared with; the one with the highest mean counts.
        metric: By which.
        paper: Gain printed, percent; None where the paper quotes none.
    """

    better: str
    worse: tuple[str, ...]
    metric: str
    paper: float | None

    @property
    def against(self) -> str:
        """For people."""
        if len(self.worse) == 1:
            return self.worse[0]
        return "best plain ensemble" if self.worse == _FUSION else "best single system"


GAINS: Final = (
    Gain("MME_place_PANNs", ("HLSS_combine",), "ap", 27.6),
    Gain("MME_place_PANNs", ("HLSS_place",), "ap", 23.3),
    Gain("MME_place_Openl3", ("HLSS_combine",), "f1", 17.3),
    Gain("MME_place_Openl3", ("HLSS_place",), "f1", 16.8),
    Gain("MME_place_speaker", ("HLSS_place",), "ap", 13.8),
    Gain("MME_place_Musicnn", ("HLSS_place",), "ap", 5.4),
    Gain("MME_place_speaker", ("HLSS_place",), "f1", 4.8),
    Gain("MME_place_Musicnn", ("HLSS_place",), "f1", 5.3),
    Gain("MOAE_Dvar", ("MOAE",), "f1", 3.7),
    Gain("MOAE_Dconf", ("MOAE",), "f1", 3.7),
    Gain("MOAE_A", ("MOAE",), "f1", 7.9),
    Gain("MOAE_A", _FUSION, "f1", 2.9),
    Gain("MOAE_A", _SINGLE, "f1", None),
)


def spread_of(folds: Iterable[FoldResult], row: str, metric: str) -> Spread | None:
    """A row's metric over folds; None where the row could not be trained."""
    return _spread([fold.rows[row] for fold in folds if row in fold.rows], metric)


def relative_gain(folds: Sequence[FoldResult], gain: Gain) -> float | None:
    """Gain of one row over another in percent of the other; None where one is not there."""
    better = spread_of(folds, gain.better, gain.metric)
    others = [spread_of(folds, row, gain.metric) for row in gain.worse]
    means = [other.mean for other in others if other is not None]
    if better is None or not means or max(means) <= 0:
        return None
    return 100.0 * (better.mean / max(means) - 1.0)


def as_markdown(folds: Sequence[FoldResult], about: Sequence[str], part: str = "fold") -> str:
    """The whole comparison for people.

    Args:
        folds: All of them.
        about: Lines on data and settings that stand first.
        part: What deviations are over.
    """
    lines = [*about, ""]
    tables = (
        (2, "Table II: single systems"),
        (3, "Table III: combinations of ten"),
        (4, "Relation experts, not the paper's"),
    )
    for number, title in tables:
        lines += [f"## {title}", ""]
        rows = {_marked(row.name): row.name for row in ROWS if row.table == number}
        cells = {
            shown: [_cell(spread_of(folds, name, metric)) for metric in METRICS]
            for shown, name in rows.items()
        }
        lines += [*_table("method", TITLES, cells), ""]
    lines += [
        "Rows marked * are the ten experts of the mixture. "
        f"Percent, mean ± deviation over {part}s.",
        "AP is the mean over the movies of a test, AP pooled is over all its boundaries together.",
        "",
        "## Relative gains",
        "",
        "| row | over | metric | here | in the paper |",
        "|---|---|---|---|---|",
        *(_gain_line(folds, gain) for gain in GAINS),
        "",
    ]
    if any(fold.lookahead for fold in folds):
        shown = ("ap", "ap_pooled", "f1")
        titles = ("AP", "AP pooled", "F1")
        lines += [
            f"## Look-ahead of {STUDIED}",
            "",
            "Boundaries waited for beyond the one decided; offline judges sequences that lie end",
            "to end, each position with what follows it in its sequence.",
            "",
            *_table("look-ahead", titles, _study(folds, lambda fold: fold.lookahead, shown)),
            "",
            f"## {STUDIED} without some aspects",
            "",
            "The threshold stays the one chosen with all aspects there.",
            "",
            *_table("left out", titles, _study(folds, lambda fold: fold.missing, shown)),
            "",
        ]
    lines += [
        f"## {part.capitalize()}s",
        "",
        "Seconds of each stage, and in brackets those of processors.",
        "",
        f"| {part} | test movies | time |",
        "|---|---|---|",
    ]
    for number, fold in enumerate(folds, 1):
        spent = ", ".join(
            f"{stage} {seconds:.0f} ({fold.cpu.get(stage, 0.0):.0f})"
            for stage, seconds in fold.seconds.items()
        )
        lines.append(f"| {number} | {', '.join(fold.test)} | {spent} |")
    return "\n".join([*lines, ""])


def table_csv(folds: Sequence[FoldResult], table: int) -> str:
    """One table: a line a row, mean and deviation of every metric; empty cells are ``n/a``."""
    return _csv(
        "row",
        {
            row.name: [spread_of(folds, row.name, metric) for metric in METRICS]
            for row in ROWS
            if row.table == table
        },
    )


def study_csv(folds: Sequence[FoldResult], study: str) -> str:
    """The look-ahead (``lookahead``) or what was left out (``missing``), as ``table_csv``."""
    keys: dict[str, None] = {}
    for fold in folds:
        keys |= dict.fromkeys(getattr(fold, study))
    return _csv(
        study,
        {
            key: [
                _spread([getattr(fold, study)[key] for fold in folds], metric) for metric in METRICS
            ]
            for key in keys
        },
    )


def folds_csv(folds: Sequence[FoldResult]) -> str:
    """Every fold by itself: a line a fold and row, with what was chosen on training movies."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("fold", "row", *METRICS, "threshold", "learning_rate", "alpha"))
    for number, fold in enumerate(folds, 1):
        for row, scores in fold.rows.items():
            values = [getattr(scores, metric) for metric in (*METRICS, "threshold")]
            chosen = (fold.rates.get(row, ""), fold.alphas.get(row, ""))
            writer.writerow((number, row, *map(_number, values), *chosen))
    return text.getvalue()


def _spread(scores: Sequence[Scores], metric: str) -> Spread | None:
    values = [getattr(each, metric) for each in scores]
    defined = [value for value in values if value is not None]
    return Spread.of(defined) if defined else None


def _study(
    folds: Sequence[FoldResult],
    of: Callable[[FoldResult], Mapping[str, Scores]],
    metrics: Sequence[str],
) -> dict[str, list[str]]:
    keys: dict[str, None] = {}
    for fold in folds:
        keys |= dict.fromkeys(of(fold))
    return {
        key: [_cell(_spread([of(fold)[key] for fold in folds], metric)) for metric in metrics]
        for key in keys
    }


def _table(first: str, titles: Sequence[str], cells: Mapping[str, Sequence[str]]) -> list[str]:
    head = [f"| {first} | {' | '.join(titles)} |", "|" + "---|" * (len(titles) + 1)]
    return head + [f"| {name} | {' | '.join(values)} |" for name, values in cells.items()]


def _gain_line(folds: Sequence[FoldResult], gain: Gain) -> str:
    value = relative_gain(folds, gain)
    here = _MISSING if value is None else f"{value:+.1f} %"
    paper = "" if gain.paper is None else f"{gain.paper:+.1f} %"
    metric = "AP" if gain.metric == "ap" else "F1"
    return f"| {gain.better} | {gain.against} | {metric} | {here} | {paper} |"


def _marked(name: str) -> str:
    return f"\\*{name}" if any(row.name == name and row.starred for row in ROWS) else name


def _cell(spread: Spread | None) -> str:
    return _MISSING if spread is None else str(spread)


def _csv(first: str, cells: Mapping[str, Sequence[Spread | None]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((first, *(part for m in METRICS for part in (m, f"{m}_deviation"))))
    for name, spreads in cells.items():
        values: list[str] = []
        for spread in spreads:
            values += (
                [_MISSING, _MISSING]
                if spread is None
                else [_number(spread.mean), _number(spread.deviation)]
            )
        writer.writerow((name, *values))
    return text.getvalue()


def _number(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.6f}"
