from __future__ import annotations

import csv
import io
import math

import pytest

from streamer.models.tables.report import (
    GAINS,
    Gain,
    Spread,
    as_markdown,
    folds_csv,
    relative_gain,
    study_csv,
    table_csv,
)
from streamer.models.tables.results import FoldResult, Scores


def _scores(ap: float | None, f1: float) -> Scores:
    return Scores(
        ap=ap,
        ap_pooled=ap,
        miou=0.5,
        recall=0.5,
        precision=0.5,
        f1=f1,
        recall_3s=0.5,
        f1_half=0.5,
        threshold=0.4,
    )


def _folds() -> list[FoldResult]:
    return [
        FoldResult(
            test=(f"m{number}",),
            rows={
                "HLSS_place": _scores(0.4 + shift, 0.5),
                "HLSS_panns": _scores(0.1, 0.2),
                "MME_place_PANNs": _scores(0.6 + shift, 0.6),
                "MOAE_A": _scores(None if number else 0.7, 0.66),
                "Stacking LR": _scores(0.6, 0.6),
                "Majority Voting": _scores(0.5, 0.55),
            },
            rates={"HLSS_place": 1e-3},
            lookahead={"0": _scores(0.3, 0.3), "offline": _scores(0.5, 0.4 + shift)},
            missing={"nothing": _scores(0.7, 0.6)},
            seconds={"experts": 12.3},
        )
        for number, shift in enumerate((0.0, 0.1))
    ]


def test_mean_and_sample_deviation() -> None:
    spread = Spread.of([0.4, 0.5])
    assert spread.mean == pytest.approx(0.45)
    assert spread.deviation == pytest.approx(math.sqrt(0.005))
    assert str(spread) == "45.0 ± 7.1"
    assert str(Spread.of([0.4])) == "40.0"


def test_relative_gains_by_hand() -> None:
    folds = _folds()
    assert relative_gain(folds, Gain("MME_place_PANNs", ("HLSS_place",), "ap", 23.3)) == (
        pytest.approx(100 * (0.65 / 0.45 - 1))
    )
    over_best = next(gain for gain in GAINS if gain.paper == 2.9)
    assert over_best.against == "best plain ensemble"
    assert relative_gain(folds, over_best) == pytest.approx(10.0)
    assert relative_gain(folds, Gain("MOAE_A", ("MOAE",), "f1", 7.9)) is None


def test_markdown_says_n_a_and_nothing_else_of_absent_rows() -> None:
    lines = as_markdown(_folds(), ["# About"]).splitlines()
    assert lines[0] == "# About"
    by_name = {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}
    assert by_name["HLSS_place"].startswith("| HLSS_place | 45.0 ± 7.1 | 45.0 ± 7.1 | 50.0 ± 0.0 |")
    assert by_name["HLSS_cast"].count("n/a") == 8
    assert by_name["Stacking SVC"].count("n/a") == 8
    # AP is defined in one fold only: no deviation.
    assert by_name["MOAE_A"] is not None
    assert any(line.startswith("| MOAE_A | 70.0 | 70.0 | 50.0 ± 0.0") for line in lines)
    assert any(
        line.startswith("| offline | 50.0 ± 0.0 | 50.0 ± 0.0 | 45.0 ± 7.1") for line in lines
    )
    assert "| \\*MME_place_PANNs |" in "\n".join(lines)
    assert any("+44.4 % | +23.3 %" in line for line in lines)


def test_csv_has_every_row_and_plain_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(table_csv(_folds(), 2))))
    assert len(rows) == 15
    place = next(row for row in rows if row["row"] == "HLSS_place")
    assert float(place["ap"]) == pytest.approx(0.45)
    assert float(place["ap_deviation"]) == pytest.approx(0.070711, abs=1e-6)
    cast = next(row for row in rows if row["row"] == "HLSS_cast")
    assert set(cast.values()) == {"HLSS_cast", "n/a"}
    assert len(list(csv.DictReader(io.StringIO(table_csv(_folds(), 3))))) == 10
    study = list(csv.DictReader(io.StringIO(study_csv(_folds(), "lookahead"))))
    assert [row["lookahead"] for row in study] == ["0", "offline"]
    each = list(csv.DictReader(io.StringIO(folds_csv(_folds()))))
    assert len(each) == 12
    assert each[0]["learning_rate"] == "0.001"
