"""How unlike two pictures are, whatever their brightness and small camera moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamer.shots.signature import Signature

# Grey levels squared: contrast below about four levels is noise and correlates with anything.
_NOISE = 16.0
_STILL = 0.05
_FLAT_CONTRAST = 6.0
_DARK, _BRIGHT = 40.0, 210.0


def unlikeness(first: Signature, second: Signature) -> float:
    """One minus the correlation of two thumbnails, at the best of 15 small shifts.

    Args:
        first: A picture.
        second: A later picture.

    Returns:
        0 for the same content however lit, about 1 for contents that have nothing in common,
        at most 2.
    """
    plain = 1.0 - _correlation(first.luma, second.luma)
    # Shifts cost ten times as much and cannot change a small value by much.
    return plain if plain < _STILL else min(plain, 1.0 - _best_shift(first.luma, second.luma))


def is_flat(picture: Signature) -> bool:
    """Whether a picture is nothing but black or white, as in the middle of a fade."""
    mean = float(picture.luma.mean())
    return not _DARK < mean < _BRIGHT and float(picture.luma.std()) < _FLAT_CONTRAST


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    a, b = (first - first.mean()).ravel(), (second - second.mean()).ravel()
    size = a.size
    covariance = float(a @ b) / size
    spread = (float(a @ a) / size + _NOISE) * (float(b @ b) / size + _NOISE)
    return (covariance + _NOISE) / float(np.sqrt(spread))


def _best_shift(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    rows, columns = second.shape
    still = second[1 : rows - 1, 2 : columns - 2]
    size = still.size
    centred = still - still.mean()
    variance = float((centred * centred).sum()) / size + _NOISE
    windows = np.lib.stride_tricks.sliding_window_view(first, still.shape).reshape(-1, size)
    means = windows.mean(axis=1)
    spreads = np.einsum("ij,ij->i", windows, windows) / size - means * means + _NOISE
    covariances = windows @ centred.ravel() / size
    return float(((covariances + _NOISE) / np.sqrt(spreads * variance)).max())
