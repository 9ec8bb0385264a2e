"""Decoding on its own thread, behind a bounded queue."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

    from streamer.timeline import Picture, Sound, StreamInfo

_POLL: Final = 0.2
_JOIN: Final = 10.0


QUEUE_BYTES: Final = 128 << 20
"""Most bytes of decoded pictures between the decoder and the rest."""


def queue_size(info: StreamInfo, limit: int) -> int:
    """Items a feed may hold, so that large pictures do not fill the memory.

    Args:
        info: Tells how large a picture is.
        limit: Most items, however small.
    """
    picture = max(1, info.width * info.height * 3 // 2)
    return max(4, min(limit, QUEUE_BYTES // picture))


class Feed:
    """Runs an iterator of decoded items on a thread; the consumer sees the same sequence.

    An error in the iterator is raised to the consumer after every item before it.

    Args:
        items: Decoded pictures and sound; decoding releases the GIL, so it runs in parallel.
        size: Most items held; the decoder waits when the consumer is behind.
    """

    def __init__(self, items: Iterable[Picture | Sound], size: int) -> None:
        self._items = items
        self._queue: queue.Queue[Picture | Sound | None] = queue.Queue(size)
        # No threading.Event: a signal handler that sets one can meet its lock held below it.
        self._stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._decode, name="decode", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        deadline = time.monotonic() + _JOIN
        while self._thread.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                self._queue.get(timeout=_POLL)

    def __iter__(self) -> Iterator[Picture | Sound]:
        while True:
            try:
                item = self._queue.get(timeout=_POLL)
            except queue.Empty:
                continue
            if item is None:
                break
            yield item
        if self._error is not None:
            raise self._error

    @property
    def backlog(self) -> int:
        """Items decoded and not yet consumed."""
        return self._queue.qsize()

    def stop(self) -> None:
        """Makes the decoder end after its current item; what is queued can still be consumed."""
        self._stopped = True

    def _decode(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except BaseException as error:  # noqa: BLE001  (it crosses to the consumer's thread)
            self._error = error
        finally:
            self._put(None)

    def _put(self, item: Picture | Sound | None) -> bool:
        """Waits for room; False once stopped, when only the end marker still goes in."""
        while True:
            try:
                self._queue.put(item, timeout=_POLL)
            except queue.Full:
                if self._stopped and item is not None:
                    return False
            else:
                return not self._stopped
