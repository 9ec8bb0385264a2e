"""Decode one connection on a thread of its own, with deadlines enforced from outside."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

from streamer.errors import SourceStalled
from streamer.timeline import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from streamer.timeline import Sound, StreamInfo

MAX_HELD: Final = 4096
"""Blocks of audio that wait at a gap, at most."""

_POLL: Final = 0.1
# The decoder has deadlines of its own and says better what was wrong; ours come after.
_GRACE: Final = 1.0


QUEUE_BYTES: Final = 128 << 20
"""Bytes of decoded frames in the queue, at most."""


def queue_size(info: StreamInfo, limit: int) -> int:
    """Return how many items may be queued, so that large frames do not fill the memory.

    Args:
        info: Tells how large a frame is.
        limit: Items at most, however small.
    """
    picture = max(1, info.width * info.height * 3 // 2)
    return max(4, min(limit, QUEUE_BYTES // picture))


class Reading(Protocol):
    """Interface of a decoder, as a connection uses it."""

    @property
    def info(self) -> StreamInfo:
        """What the demuxer knew before the first frame."""

    @property
    def reading(self) -> bool:
        """Whether a thread of the decoder still reads the input."""

    def __enter__(self) -> Reading:
        """Open the source; may block for long."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the source."""

    def __iter__(self) -> Iterator[Picture | Sound]:
        """Decode; may block as well."""

    def stop(self) -> None:
        """Ask the iteration to end, from any thread."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Bound how long a connection may take; None is without bound.

    Attributes:
        open_seconds: From the start until the demuxer has found the streams.
        stall_seconds: From one decoded item to the next.
        stop_seconds: From the request to stop until the decoder is abandoned.
    """

    open_seconds: float | None = None
    stall_seconds: float | None = None
    stop_seconds: float = 3.0


class Connection:
    """Run a decoder on a thread; the consumer sees the same items, or an error in time.

    A demuxer can block past its own time limits, so the deadlines are checked by the consumer. A
    decoder that does not return after a request to stop is abandoned: its thread closes it when
    the call returns, and `abandoned` is true until then.

    Args:
        decoder: Opened and closed on the thread.
        name: For error messages, without credentials.
        items: Decoded items held at most; fewer where frames are large.
        deadlines: When to give up.
        timed: Whether the deadlines hold; may be known only once the input is open.
    """

    def __init__(
        self,
        decoder: Reading,
        name: str,
        items: int,
        deadlines: Deadlines,
        timed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._decoder, self._name = decoder, name
        self._limit, self._deadlines, self._timed = items, deadlines, timed
        self._queue: queue.Queue[Picture | Sound | None] = queue.Queue()
        self._opened = threading.Event()
        # Plain values: a signal handler that sets an event can meet its lock held below it.
        self._stopped_at: float | None = None
        self._latest = time.monotonic()
        self._info: StreamInfo | None = None
        self._error: BaseException | None = None
        self._waited = self._decoding = 0.0
        # Named after the stream's thread, so that a crash on it can be attributed.
        thread = f"{threading.current_thread().name} decode"
        self._thread = threading.Thread(target=self._decode, name=thread, daemon=True)

    def __enter__(self) -> Self:
        """Open the decoder.

        Raises:
            SourceError: It cannot be opened.
            SourceStalled: It was not open in time.
        """
        self._thread.start()
        began = time.monotonic()
        limit = self._deadlines.open_seconds
        try:
            while not self._opened.wait(_POLL):
                self._give_up_if_stopped()
                if (
                    limit is not None
                    and self._timed()
                    and time.monotonic() - began > limit + _GRACE
                ):
                    raise SourceStalled(f"{self._name}: not open after {limit:g} s")
            if self._info is None:
                self._raise()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def __iter__(self) -> Iterator[Picture | Sound]:
        """Yield items; an error of the decoder is raised after every item before it.

        Raises:
            SourceStalled: Nothing came for too long.
        """
        while (item := self._next()) is not None:
            yield item
        self._raise()

    @property
    def info(self) -> StreamInfo:
        """What the demuxer knew before the first frame."""
        assert self._info is not None
        return self._info

    @property
    def waited(self) -> float:
        """Seconds that the consumer had to wait for the latest item."""
        return self._waited

    @property
    def decoding(self) -> float:
        """Processor seconds that the decoder has used so far."""
        return self._decoding

    @property
    def abandoned(self) -> bool:
        """Whether the decoder, or its reader, has not returned since it was asked to stop."""
        hangs = self._thread.is_alive() or self._decoder.reading
        return self._stopped_at is not None and hangs

    def stop(self) -> None:
        """Make the decoder end soon; what is queued can still be consumed. Safe in a handler."""
        if self._stopped_at is None:
            self._stopped_at = time.monotonic()
        self._decoder.stop()

    def _next(self) -> Picture | Sound | None:
        began = time.monotonic()
        stall = self._deadlines.stall_seconds
        while True:
            try:
                item = self._queue.get(timeout=_POLL)
            except queue.Empty:
                if self._stopped_at is not None:
                    if time.monotonic() - self._stopped_at > self._deadlines.stop_seconds:
                        return None
                elif (
                    stall is not None
                    and self._timed()
                    and time.monotonic() - self._latest > stall + _GRACE
                ):
                    raise SourceStalled(f"{self._name}: nothing came for {stall:g} s") from None
                continue
            self._waited = time.monotonic() - began
            return item

    def _raise(self) -> None:
        """Raise the decoder's error, if there is one, and drop the reference to it."""
        error, self._error = self._error, None
        try:
            if error is not None:
                raise error
        finally:
            # It holds this frame, which would hold it.
            del error

    def _give_up_if_stopped(self) -> None:
        since = self._stopped_at
        if since is not None and time.monotonic() - since > self._deadlines.stop_seconds:
            raise SourceStalled(f"{self._name}: stopped before it was open")

    def _close(self) -> None:
        self.stop()
        deadline = time.monotonic() + self._deadlines.stop_seconds
        while self._thread.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                self._queue.get(timeout=_POLL / 4)
        while not self._queue.empty():
            with contextlib.suppress(queue.Empty):
                self._queue.get_nowait()

    def _decode(self) -> None:
        try:
            with self._decoder as decoder:
                self._queue = queue.Queue(queue_size(decoder.info, self._limit))
                self._info = decoder.info
                self._latest = time.monotonic()
                self._opened.set()
                for item in decoder:
                    self._latest = time.monotonic()
                    self._decoding = time.thread_time()
                    if not self._put(item):
                        break
                    self._latest = time.monotonic()
        except BaseException as error:  # noqa: BLE001  (it crosses to the consumer's thread)
            self._error = error
        finally:
            self._opened.set()
            self._put(None)

    def _put(self, item: Picture | Sound | None) -> bool:
        """Wait for room; False once stopped: then nothing more goes in, not even the end mark."""
        while True:
            try:
                self._queue.put(item, timeout=_POLL)
            except queue.Full:
                # A decoder that waits for room is not stalled.
                self._latest = time.monotonic()
                if self._stopped_at is not None and self._abandon():
                    return False
            else:
                return self._stopped_at is None

    def _abandon(self) -> bool:
        """Return whether the consumer has made no room for so long that it has gone."""
        assert self._stopped_at is not None
        return time.monotonic() - self._stopped_at > self._deadlines.stop_seconds


class GapBuffer:
    """Bring frames and audio to the same side of each gap in the input.

    Frames and audio do not reach a gap at the same time. Frames decide when it is passed: audio
    from after it waits for them, up to a bound, and late audio from before it is dropped.

    Args:
        has_picture: Whether there are frames to wait for.
        max_wait: Seconds of audio that wait.
    """

    def __init__(self, has_picture: bool, max_wait: float) -> None:
        self._has_picture, self._max_wait = has_picture, max_wait
        self._passed = 0
        self._held: deque[Sound] = deque(maxlen=MAX_HELD)

    def sort(self, item: Picture | Sound) -> Iterator[tuple[Picture | Sound, bool]]:
        """Take the next item.

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
        if item.start.seconds - self._held[0].start.seconds > self._max_wait:
            # There are no frames any more.
            yield from self._pass(self._held.popleft())

    def _pass(self, item: Picture | Sound) -> Iterator[tuple[Picture | Sound, bool]]:
        self._passed = item.gaps
        yield item, True
        while self._held and self._held[0].gaps <= self._passed:
            sound = self._held.popleft()
            if sound.gaps == self._passed:
                yield sound, False
