"""Whether resident memory is level."""

from __future__ import annotations

from statistics import fmean, linear_regression
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.soak.run import Sample

MOST_SLOPE: Final = 2.0
"""MiB per hour of media in the second half of a long run."""

LONG_HOURS: Final = 6.0
"""Of media; in a shorter run the slope says more about the beginning than about the end."""

MOST_RISEN: Final = 24.0
"""MiB in a short run; half of what glibc's own settings come to, many times what is usual."""


def slope(samples: list[Sample]) -> float:
    """MiB per hour of media in the second half, by least squares."""
    half = _between(samples, 1 / 2, 1)
    hours = [sample.media / 3600 for sample in half]
    if len(set(hours)) < 2:
        return 0.0
    return linear_regression(hours, [_mib(sample) for sample in half]).slope


def risen(samples: list[Sample]) -> float:
    """MiB from the mean of the second quarter to that of the last."""
    early, late = _between(samples, 1 / 4, 1 / 2), _between(samples, 3 / 4, 1)
    return fmean(map(_mib, late)) - fmean(map(_mib, early)) if early and late else 0.0


def level(samples: list[Sample]) -> bool:
    """Whether a run, if it was a long one, grew no faster than it may."""
    hours = samples[-1].media / 3600 if samples else 0.0
    return hours < LONG_HOURS or slope(samples) <= MOST_SLOPE


def _between(samples: list[Sample], start: float, end: float) -> list[Sample]:
    """The samples of a part of the media."""
    whole = samples[-1].media if samples else 0.0
    return [sample for sample in samples if start * whole <= sample.media <= end * whole]


def _mib(sample: Sample) -> float:
    return sample.resident / 2**20
