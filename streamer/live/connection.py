"""One connection, decoded on a thread of its own and watched from outside."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

from streamer.errors import SourceStalled
from streamer.pipeline.feed import queue_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from streamer.timeline import Picture, Sound, StreamInfo

_POLL: Final = 0.1
# The decoder has deadlines of its own and says better what was wrong; ours come after.
_GRACE: Final = 1.0


class Reading(Protocol):
    """What a connection needs of a decoder."""

    @property
    def info(self) -> StreamInfo:
        """What the demuxer knew before the first frame."""

    @property
    def reading(self) -> bool:
        """Whether a thread of its own reads the input, or was left behind with it."""

    def __enter__(self) -> Reading:
        """Opens the source; may block for longer than anyone wants to wait."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the source."""

    def __iter__(self) -> Iterator[Picture | Sound]:
        """Decodes; may block as well."""

    def stop(self) -> None:
        """Asks the iteration to end, from any thread."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a connection may keep us waiting; None is for ever.

    Attributes:
        open_seconds: From the start until the demuxer has found the streams.
        stall_seconds: From one decoded item to the next.
        stop_seconds: For the decoder to notice that it should stop, before it is abandoned.
    """

    open_seconds: float | None = None
    stall_seconds: float | None = None
    stop_seconds: float = 3.0


class Connection:
    """Runs a decoder on a thread; the consumer sees the same items, or an error in time.

    A demuxer can block past its own time limits, so the clock runs here, beside the call. A
    decoder that does not even return when told to stop is abandoned: its thread closes it when
    the call comes back, and `abandoned` says so until then.

    Args:
        decoder: Opened and closed on the thread.
        name: For error messages, without credentials.
        items: Most decoded items held; fewer where pictures are large.
        deadlines: When to give up.
        hurried: Whether the deadlines hold; may be known only once the input is open.
    """

    def __init__(
        self,
        decoder: Reading,
        name: str,
        items: int,
        deadlines: Deadlines,
        hurried: Callable[[], bool] = lambda: True,
    ) -> None:
        self._decoder, self._name = decoder, name
        self._limit, self._deadlines, self._hurried = items, deadlines, hurried
        self._queue: queue.Queue[Picture | Sound | None] = queue.Queue()
        self._opened = threading.Event()
        # Plain values: a signal handler that sets an event can meet its lock held below it.
        self._stopped_at: float | None = None
        self._heard = time.monotonic()
        self._info: StreamInfo | None = None
        self._error: BaseException | None = None
        self._waited = self._decoding = 0.0
        # Named after the stream's thread, so that a crash on it can be told from others'.
        thread = f"{threading.current_thread().name} decode"
        self._thread = threading.Thread(target=self._decode, name=thread, daemon=True)

    def __enter__(self) -> Self:
        """Opens the decoder.

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
                    and self._hurried()
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
        """Yields items; an error of the decoder is raised after every item before it.

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
        """Whether the decoder was told to stop and it, or its reader, still has not returned."""
        hangs = self._thread.is_alive() or self._decoder.reading
        return self._stopped_at is not None and hangs

    def stop(self) -> None:
        """Makes the decoder end soon; what is queued can still be consumed. Safe in a handler."""
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
                    and self._hurried()
                    and time.monotonic() - self._heard > stall + _GRACE
                ):
                    raise SourceStalled(f"{self._name}: nothing came for {stall:g} s") from None
                continue
            self._waited = time.monotonic() - began
            return item

    def _raise(self) -> None:
        """Raises the decoder's error, if there is one, and lets go of it."""
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
                self._heard = time.monotonic()
                self._opened.set()
                for item in decoder:
                    self._heard = time.monotonic()
                    self._decoding = time.thread_time()
                    if not self._put(item):
                        break
                    self._heard = time.monotonic()
        except BaseException as error:  # noqa: BLE001  (it crosses to the consumer's thread)
            self._error = error
        finally:
            self._opened.set()
            self._put(None)

    def _put(self, item: Picture | Sound | None) -> bool:
        """Waits for room; False once stopped: then nothing more goes in, an end needs no mark."""
        while True:
            try:
                self._queue.put(item, timeout=_POLL)
            except queue.Full:
                # Who waits for room is not silent, however late they get to the next item.
                self._heard = time.monotonic()
                if self._stopped_at is not None and self._abandon():
                    return False
            else:
                return self._stopped_at is None

    def _abandon(self) -> bool:
        """Nobody has made room for so long that nobody will."""
        assert self._stopped_at is not None
        return time.monotonic() - self._stopped_at > self._deadlines.stop_seconds
