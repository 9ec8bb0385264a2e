"""The sliding buffer of shots from which boundaries are described."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


class SlidingBuffer(Generic[T]):
    """The last ``width`` items; the first one is repeated to fill it at the start.

    With ``width = 2*w_b`` shots, pushing shot ``i`` completes the window of the boundary
    between shots ``i - w_b`` and ``i - w_b + 1`` (paper, section II-C1). Repeating the edge
    shots gives every boundary of a film a window, the first and the last included *(choice)*.

    Args:
        width: Items held, ≥ 1.
    """

    def __init__(self, width: int) -> None:
        if width < 1:
            raise ValueError(f"a buffer holds at least one item, not {width}")
        self._items: deque[T] = deque(maxlen=width)
        self.width = width

    def push(self, item: T) -> tuple[T, ...]:
        """Takes an item, letting go of the oldest.

        Returns:
            The window, oldest first; always ``width`` items.
        """
        if not self._items:
            self._items.extend([item] * (self.width - 1))
        self._items.append(item)
        return tuple(self._items)

    def repeat(self) -> tuple[T, ...]:
        """Takes the newest item once more: padding past the end.

        Raises:
            IndexError: Nothing was pushed yet.
        """
        return self.push(self._items[-1])

    def window(self) -> tuple[T, ...]:
        """What is held, oldest first; empty before the first push."""
        return tuple(self._items)

    def fill(self, items: Iterable[T]) -> None:
        """Replaces what is held, as when a saved stream goes on.

        Raises:
            ValueError: Neither none nor ``width`` items.
        """
        kept = tuple(items)
        if len(kept) not in (0, self.width):
            raise ValueError(f"a buffer of {self.width} cannot be filled with {len(kept)}")
        self._items.clear()
        self._items.extend(kept)
