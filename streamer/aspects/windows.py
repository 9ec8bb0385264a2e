"""Where in a shot the pieces of an aspect lie; pure arithmetic, no media."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.extractor import SoundInput


def full_windows(length: int, spec: SoundInput) -> int:
    """Counts the windows that fit whole into the first ``length`` samples of a shot."""
    return 0 if length < spec.window else 1 + (length - spec.window) // spec.hop


def last_window(length: int, spec: SoundInput) -> tuple[int, int] | None:
    """Says what is left to embed when a shot closes after ``length`` samples.

    A shot shorter than the window gives one short piece. Otherwise an unheard rest of at least
    half a hop gives one more window that ends with the shot.

    Returns:
        ``(start, end)`` relative to the shot's first sample, or None when nothing is left.
    """
    if length <= 0:
        return None
    whole = full_windows(length, spec)
    if whole == 0:
        return 0, length
    covered = (whole - 1) * spec.hop + spec.window
    return (length - spec.window, length) if 2 * (length - covered) >= spec.hop else None
