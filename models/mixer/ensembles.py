"""Ensembles that a mixture has to beat (paper, section III-A, experiment II)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.errors import ConfigError, DatasetError, extra

with extra("train"):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC


MAJORITY_VOTING: Final = "Majority Voting"
UNWEIGHTED_AVERAGING: Final = "Unweighted Averaging"
STACKING_LR: Final = "Stacking LR"
STACKING_SVC: Final = "Stacking SVC"
CLASS_WEIGHT: Final = 10.0
"""Weight of a scene boundary, 1 for others, as in the training of the experts."""


@dataclass(frozen=True, slots=True)
class Votes:
    """Outputs of ``E`` experts for ``n`` boundaries.

    Attributes:
        probability: Probability of a boundary, ``(n, E)``; undefined where an expert is absent.
        present: Bool ``(n, E)``.
    """

    probability: NDArray[np.float64]
    present: NDArray[np.bool_]

    @classmethod
    def joined(cls, parts: Sequence[Votes]) -> Votes:
        """Concatenate the votes on several movies."""
        return cls(
            np.concatenate([part.probability for part in parts]),
            np.concatenate([part.present for part in parts]),
        )

    def mean(self) -> NDArray[np.float64]:
        """Average the probabilities of the experts present, ``(n,)``; 0 where none is."""
        count = np.maximum(self.present.sum(axis=1), 1)
        mean: NDArray[np.float64] = (self.probability * self.present).sum(axis=1) / count
        return mean

    def filled(self) -> NDArray[np.float64]:
        """Replace absent experts by the mean of the others *(choice)*, ``(n, E)``."""
        return np.where(self.present, self.probability, self.mean()[:, None])


class Ensemble(Protocol):
    """Combination of votes that needs no hidden embeddings."""

    @property
    def threshold(self) -> float | None:
        """Score from which on a boundary is reported; None: fitted on training movies."""

    def score(self, votes: Votes) -> NDArray[np.float64]:
        """Score boundaries within [0, 1]; 0 where no expert is present.

        Shape:
            ``(n,)``
        """


@dataclass(frozen=True, slots=True)
class MajorityVoting:
    """Share of the experts present that vote for a boundary; more than half decide.

    Attributes:
        votes_from: Each expert votes for a boundary at or above its own threshold, ``(E,)``.
    """

    votes_from: tuple[float, ...]

    @property
    def threshold(self) -> float:
        """Value just above one half: a draw is no majority *(choice)*."""
        return float(np.nextafter(0.5, 1.0))

    def score(self, votes: Votes) -> NDArray[np.float64]:
        """See ``Ensemble.score``."""
        cast = (votes.probability >= np.array(self.votes_from)) & votes.present
        return Votes(cast.astype(np.float64), votes.present).mean()


@dataclass(frozen=True, slots=True)
class UnweightedAveraging:
    """Mean probability of the experts present."""

    @property
    def threshold(self) -> None:
        """None: fitted on training movies."""
        return

    def score(self, votes: Votes) -> NDArray[np.float64]:
        """See ``Ensemble.score``."""
        return votes.mean()


class Stacking:
    """A classifier over the experts' probabilities of one boundary.

    Classes weigh 1:10. The support vector machine gets features of unit variance and is linear:
    with an RBF kernel it orders movies it was not fitted on badly, seen by cross validation over
    training movies. Everything else is scikit-learn's default *(choices)*. A logistic curve
    maps the decision function to a score: order is kept, its own threshold becomes 0.5.

    Args:
        estimator: Fitted; has ``decision_function``.
    """

    def __init__(self, estimator: Any) -> None:
        self._estimator = estimator

    @property
    def threshold(self) -> None:
        """None: fitted on training movies."""
        return

    def score(self, votes: Votes) -> NDArray[np.float64]:
        """See ``Ensemble.score``."""
        if not len(votes.probability):
            return np.zeros(0)
        distance = np.clip(self._estimator.decision_function(votes.filled()), -50.0, 50.0)
        score: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-distance))
        return score * votes.present.any(axis=1)


def fit_ensemble(
    name: str, votes: Votes, labels: NDArray[np.bool_], thresholds: Sequence[float]
) -> Ensemble:
    """Fit an ensemble; stacking learns from votes on movies unseen by the experts.

    Args:
        name: Printed name of a row of Table III.
        votes: Votes on training movies.
        labels: Ground truth, ``(n,)``.
        thresholds: Each expert's own threshold, ``(E,)``; for majority voting.

    Raises:
        ConfigError: No ensemble has this name.
        DatasetError: Votes are not finite, or stacking has only one class to learn from.
    """
    if name == MAJORITY_VOTING:
        return MajorityVoting(tuple(thresholds))
    if name == UNWEIGHTED_AVERAGING:
        return UnweightedAveraging()
    if name not in (STACKING_LR, STACKING_SVC):
        raise ConfigError(f"{name!r} is not an ensemble")
    known = votes.present.any(axis=1)
    truth = labels[known]
    if truth.all() or not truth.any():
        raise DatasetError(f"{name} needs boundaries of scenes and others to learn from")
    features = votes.filled()[known]
    if not np.isfinite(features).all():
        raise DatasetError(f"{name}: the experts' probabilities are not finite")
    weights = {False: 1.0, True: CLASS_WEIGHT}
    estimator = (
        LogisticRegression(class_weight=weights, max_iter=1000)
        if name == STACKING_LR
        else make_pipeline(StandardScaler(), SVC(kernel="linear", class_weight=weights))
    )
    return Stacking(estimator.fit(features, truth))
