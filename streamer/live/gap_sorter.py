"""Where the input of one connection is missing, in the order of its pictures."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from streamer.timeline import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.timeline import Sound

HELD: Final = 4096


class GapSorter:
    """Brings pictures and sound to the same side of each gap.

    Sound and pictures do not come to a gap at the same time. Pictures say when it is passed: sound
    from behind it waits for them, for so long as they may be apart, and sound from before it that
    comes late is left out.

    Args:
        has_picture: Whether there are pictures to wait for.
        patience: Seconds of sound that wait.
    """

    def __init__(self, has_picture: bool, patience: float) -> None:
        self._has_picture, self._patience = has_picture, patience
        self._passed = 0
        self._held: deque[Sound] = deque(maxlen=HELD)

    def sort(self, item: Picture | Sound) -> Iterator[tuple[Picture | Sound, bool]]:
        """Takes the next item.

        Args:
            item: In demux order.

        Yields:
            Items, and whether input is missing before each.
        """
        if item.gaps < self._passed:
            return
        if item.gaps == self._passed:
            yield item, False
            return
        if isinstance(item, Picture) or not self._has_picture:
            yield from self._pass(item)
            return
        self._held.append(item)
        if item.start.seconds - self._held[0].start.seconds > self._patience:
            # The pictures have gone: sound goes on alone.
            yield from self._pass(self._held.popleft())

    def _pass(self, item: Picture | Sound) -> Iterator[tuple[Picture | Sound, bool]]:
        self._passed = item.gaps
        yield item, True
        while self._held and self._held[0].gaps <= self._passed:
            sound = self._held.popleft()
            if sound.gaps == self._passed:
                yield sound, False
