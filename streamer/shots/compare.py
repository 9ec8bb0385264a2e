"""How unlike two pictures are, whatever their brightness and small camera moves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamer.shots.signature import Signature

# Grey levels squared: contrast below about four levels is noise and correlates with anything.
_NOISE = 16.0
_STILL = 0.05
_FLAT_CONTRAST = 6.0
_MOST = 0.8
# Luma of what counts as black, of a dark and of a bright picture; video black is 16.
_BLACK, _DARK, _BRIGHT = 24.0, 40.0, 210.0


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


def lit(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cells that are not black in both thumbnails; letterbox bars would make all films alike.

    Args:
        first: Luma of one picture, ``(rows, columns)`` in [0, 255].
        second: Luma of another, of the same shape.

    Returns:
        A mask ``(rows, columns)``, true where either is brighter than black.
    """
    return np.maximum(first, second) > _BLACK


def is_flat(picture: Signature) -> bool:
    """Whether a picture is nothing but black or white, as in the middle of a fade."""
    luma = picture.luma
    mean = float(luma.mean())
    if mean < _DARK:
        return float(luma.std()) < _FLAT_CONTRAST
    if mean < _BRIGHT / 2:
        return False
    shown = luma[luma > _BLACK]
    level = float(np.median(shown))
    if level < _BRIGHT or shown.size < luma.size // 2:
        return False
    # Cells on the edge of a letterbox are neither black nor white.
    return float((np.abs(shown - level) < _FLAT_CONTRAST).mean()) > _MOST


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    mask = lit(first, second)
    a, b = first[mask], second[mask]
    size = a.size
    if size == 0:
        return 1.0
    a, b = a - a.mean(), b - b.mean()
    covariance = float(a @ b) / size
    spread = (float(a @ a) / size + _NOISE) * (float(b @ b) / size + _NOISE)
    return (covariance + _NOISE) / math.sqrt(spread)


def _best_shift(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    rows, columns = second.shape
    inner = (slice(1, rows - 1), slice(2, columns - 2))
    mask = lit(first[inner], second[inner])
    still = second[inner][mask]
    size = still.size
    if size == 0:
        return 1.0
    centred = still - still.mean()
    variance = float(centred @ centred) / size + _NOISE
    windows = np.lib.stride_tricks.sliding_window_view(first, mask.shape)[:, :, mask]
    shifted = windows.reshape(-1, size)
    means = shifted.mean(axis=1)
    spreads = np.einsum("ij,ij->i", shifted, shifted) / size - means * means + _NOISE
    covariances = shifted @ centred / size
    return float(((covariances + _NOISE) / np.sqrt(spreads * variance)).max())
