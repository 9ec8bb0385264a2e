"""What the segmenter says about one boundary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExpertVote:
    """One expert's part in a decision.

    Attributes:
        name: Printed name of its row, e.g. ``MME_place_PANNs``.
        weight: Share of the score, within [0, 1]; all weights sum to one, or to zero when every
            expert is absent.
        probability: What it gives the boundary, within [0, 1]; 0 when absent.
        absent: An aspect it needs is missing in one of the two shots at the boundary.
    """

    name: str
    weight: float
    probability: float
    absent: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The score of one boundary between two shots.

    Attributes:
        boundary_index: Index of the shot that ends there.
        score: Probability of a scene boundary, within [0, 1]; 0 when every expert is absent.
        experts: Every expert of the mixture, in the checkpoint's order.
        lookahead_shots: Shots after the boundary that had closed when it was decided.
        padded: Shots beyond an end of the input were part of what was looked at.
    """

    boundary_index: int
    score: float
    experts: tuple[ExpertVote, ...]
    lookahead_shots: int
    padded: bool
