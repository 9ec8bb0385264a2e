from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import ConfigError, DatasetError
from streamer.models.catalogue import ROWS
from streamer.models.mixer.ensembles import (
    MAJORITY_VOTING,
    STACKING_LR,
    STACKING_SVC,
    UNWEIGHTED_AVERAGING,
    Votes,
    fit_ensemble,
)

NAMES = (MAJORITY_VOTING, UNWEIGHTED_AVERAGING, STACKING_LR, STACKING_SVC)


def _votes(rows: list[list[float | None]]) -> Votes:
    present = np.array([[value is not None for value in row] for row in rows])
    values = np.array([[math.nan if value is None else value for value in row] for row in rows])
    return Votes(np.where(present, values, 0.0), present)


def _known(count: int = 400) -> tuple[Votes, np.ndarray]:
    """Three experts: one that knows, one that guesses, one that knows the opposite."""
    random = np.random.default_rng(3)
    labels = random.random(count) < 0.1
    good = np.clip(0.2 + 0.6 * labels + 0.1 * random.standard_normal(count), 0, 1)
    probability = np.stack([good, random.random(count), 1 - good], axis=1)
    return Votes(probability, np.ones_like(probability, dtype=bool)), labels


def test_names_are_those_of_the_table() -> None:
    assert tuple(row.name for row in ROWS if row.kind == "ensemble") == NAMES


def test_majority_by_hand() -> None:
    votes = _votes(
        [
            [0.6, 0.6, 0.1, 0.1],  # 2 of 4: a draw
            [0.6, 0.6, 0.9, 0.1],  # 3 of 4
            [0.6, None, None, 0.1],  # 1 of 2: a draw
            [0.6, None, None, None],  # 1 of 1
            [None, None, None, None],
        ]
    )
    ensemble = fit_ensemble(MAJORITY_VOTING, votes, np.zeros(5, dtype=bool), (0.5, 0.6, 0.7, 0.8))
    score = ensemble.score(votes)
    assert score.tolist() == [0.5, 0.75, 0.5, 1.0, 0.0]
    assert ensemble.threshold is not None
    assert (score >= ensemble.threshold).tolist() == [False, True, False, True, False]


def test_averaging_by_hand() -> None:
    votes = _votes([[0.2, 0.4, 0.9], [0.2, None, 0.4], [None, None, None]])
    ensemble = fit_ensemble(UNWEIGHTED_AVERAGING, votes, np.zeros(3, dtype=bool), (0.5,) * 3)
    assert ensemble.score(votes) == pytest.approx([0.5, 0.3, 0.0])
    assert ensemble.threshold is None


@pytest.mark.parametrize("name", [STACKING_LR, STACKING_SVC])
def test_stacking_finds_out_whom_to_believe(name: str) -> None:
    votes, labels = _known()
    unseen, truth = _known(2000)
    ensemble = fit_ensemble(name, votes, labels, (0.5,) * 3)
    score = ensemble.score(unseen)
    assert ((score >= 0.5) == truth).mean() > 0.97
    averaged = (unseen.mean() >= 0.5) == truth
    assert averaged.mean() < 0.9


def test_logistic_regression_is_the_weighted_one() -> None:
    # One feature that says nothing: the odds are those of the weighted classes.
    votes = Votes(np.full((110, 1), 0.5), np.ones((110, 1), dtype=bool))
    labels = np.arange(110) < 10
    ensemble = fit_ensemble(STACKING_LR, votes, labels, (0.5,))
    assert ensemble.score(votes)[0] == pytest.approx(0.5, abs=1e-3)


def test_absent_experts_stand_at_the_mean_of_the_others() -> None:
    votes, labels = _known()
    ensemble = fit_ensemble(STACKING_LR, votes, labels, (0.5,) * 3)
    absent = _votes([[0.9, None, 0.3], [None, None, None]])
    whole = _votes([[0.9, 0.6, 0.3]])
    assert ensemble.score(absent)[0] == ensemble.score(whole)[0]
    assert ensemble.score(absent)[1] == 0.0
    nothing = Votes(np.zeros((0, 3)), np.zeros((0, 3), dtype=bool))
    assert ensemble.score(nothing).shape == (0,)


def test_what_cannot_be_fitted_is_said() -> None:
    votes, labels = _known()
    with pytest.raises(ConfigError, match="'HLSS_place' is not an ensemble"):
        fit_ensemble("HLSS_place", votes, labels, (0.5,) * 3)
    for name in (STACKING_LR, STACKING_SVC):
        with pytest.raises(DatasetError, match=f"{name} needs boundaries"):
            fit_ensemble(name, votes, np.zeros_like(labels), (0.5,) * 3)
    bad = Votes(votes.probability * math.nan, votes.present)
    with pytest.raises(DatasetError, match="not finite"):
        fit_ensemble(STACKING_LR, bad, labels, (0.5,) * 3)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=8), st.randoms(use_true_random=False))
def test_order_of_the_experts_does_not_matter(row: list[float], random: object) -> None:
    order = list(range(len(row)))
    random.shuffle(order)  # type: ignore[attr-defined] # a random.Random
    votes, turned = _votes([list(row)]), _votes([[row[i] for i in order]])
    for name in (MAJORITY_VOTING, UNWEIGHTED_AVERAGING):
        ensemble = fit_ensemble(name, votes, np.zeros(1, dtype=bool), (0.5,) * len(row))
        assert ensemble.score(votes) == pytest.approx(ensemble.score(turned))
