"""Choose what is left out when a live stream cannot keep up, in a fixed order.

Level 0 is full quality. Then, each level leaving out more than the one before:

1. every second key frame and clip of a shot;
2. three of four key frames and clips;
3. every second window of audio too;
4. three of four windows;
5. and on: one whole aspect after another, those that the mixture does not use first, then those
   that cost most. Their experts are masked, as events say. The last audio aspect and place stay.

The first piece of an aspect in a shot is never left out before level 5, so that no expert is lost
to the first four levels. Windows without audio are no pieces.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DROP_FIRST: Final = ("panns", "musicnn", "vggish", "speaker", "openl3")
"""Audio aspects that the mixture uses, the one that goes first first."""
_KEPT: Final = ("place",)

_SEEN: Final = (1, 2, 4, 4, 4)
_HEARD: Final = (1, 1, 1, 2, 4)


@dataclass(frozen=True, slots=True)
class Thinning:
    """What one level leaves out.

    Attributes:
        seen: One of so many key frames and clips is embedded.
        heard: One of so many windows of audio is embedded.
        dropped: Aspects that are not embedded at all.
    """

    seen: int = 1
    heard: int = 1
    dropped: frozenset[str] = frozenset()


def plan(aspects: Sequence[str]) -> tuple[Thinning, ...]:
    """Return the levels of a stream, full quality first.

    Args:
        aspects: Those that are enabled, in the order of the settings.
    """
    levels = [Thinning(*pair) for pair in zip(_SEEN, _HEARD, strict=True)]
    unused = [name for name in reversed(aspects) if name not in (*_DROP_FIRST, *_KEPT)]
    used = [name for name in _DROP_FIRST if name in aspects][:-1]
    for name in (*unused, *used)[: max(0, len(aspects) - 1)]:
        levels.append(replace(levels[-1], dropped=levels[-1].dropped | {name}))
    return tuple(levels)


class Thinner:
    """Decide piece by piece, for one stream; what it decides depends on the levels set only.

    Args:
        aspects: Those that are enabled, in the order of the settings.
        on_skip: Called with the aspect of every piece that is left out.
    """

    def __init__(
        self, aspects: Sequence[str], on_skip: Callable[[str], None] | None = None
    ) -> None:
        self.plan: Final = plan(aspects)
        self._on_skip = on_skip
        self._level = 0

    @property
    def level(self) -> int:
        """The level now; 0 is full quality."""
        return self._level

    @level.setter
    def level(self, value: int) -> None:
        """Set the level from the next piece on; beyond the last level counts as the last."""
        self._level = max(0, min(value, len(self.plan) - 1))

    @property
    def now(self) -> Thinning:
        """What the level leaves out."""
        return self.plan[self._level]

    def drops(self, aspect: str) -> bool:
        """Return whether the aspect is not embedded at all now."""
        return aspect in self.now.dropped

    def takes(self, aspect: str, kind: Literal["seen", "heard"], number: int) -> bool:
        """Return whether a piece is embedded, and report when it is not.

        Args:
            aspect: Whose piece.
            kind: Frames and clips are seen, windows of audio heard.
            number: Counts from 0 the pieces of the shot that could be embedded.
        """
        every = self.now.seen if kind == "seen" else self.now.heard
        taken = number % every == 0 and not self.drops(aspect)
        if not taken and self._on_skip is not None:
            self._on_skip(aspect)
        return taken
