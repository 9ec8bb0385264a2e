"""Sequences of ``L`` boundaries cut out of a movie, edges padded by repeating the end shots."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]


def tile_starts(boundaries: int, length: int, phase: int = 0) -> IntArray:
    """First boundaries of sequences that lie end to end and cover a movie.

    Args:
        boundaries: Boundaries of the movie, ≥ 0.
        length: ``L``.
        phase: Boundaries by which the first sequence starts before the movie, ``0 … L-1``.

    Returns:
        Starts, the first ``-phase``; every boundary lies in exactly one sequence.

    Shape:
        ``(ceil((boundaries + phase) / L),)``
    """
    if boundaries == 0:
        return np.zeros(0, dtype=np.int64)
    return np.arange(-phase, boundaries, length, dtype=np.int64)


def window_starts(boundaries: int, length: int, lookahead: int) -> IntArray:
    """First boundaries of the sequences in which each boundary is decided causally.

    Args:
        boundaries: Boundaries of the movie.
        length: ``L``.
        lookahead: Boundaries that follow the decided one in its sequence, ``0 … L-1``.

    Returns:
        One start a boundary; boundary ``j`` is at position ``L - 1 - lookahead``.

    Shape:
        ``(boundaries,)``
    """
    return np.arange(boundaries, dtype=np.int64) - (length - 1 - lookahead)


def sequence_shots(starts: IntArray, shots: int, length: int, reach: int) -> IntArray:
    """Shots that describe the boundaries of sequences.

    Boundary ``j`` lies between shots ``j`` and ``j + 1`` and is described by the ``2*reach``
    shots around it (paper, section II-C1).

    Args:
        starts: First boundary of each sequence, ``(B,)``; may lie outside the movie.
        shots: Shots of the movie, ≥ 1.
        length: ``L``.
        reach: ``w_b``.

    Returns:
        Shot indices, those before the first and past the last replaced by these.

    Shape:
        ``(B, L + 2*reach - 1)``
    """
    offsets = np.arange(length + 2 * reach - 1, dtype=np.int64) - (reach - 1)
    clipped: IntArray = np.clip(starts[:, None] + offsets, 0, shots - 1)
    return clipped


def sequence_boundaries(starts: IntArray, length: int) -> IntArray:
    """Boundary indices of sequences, those outside the movie included.

    Shape:
        ``(B,)`` → ``(B, L)``
    """
    indices: IntArray = starts[:, None] + np.arange(length, dtype=np.int64)
    return indices
