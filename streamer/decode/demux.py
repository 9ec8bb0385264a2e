"""Packets of one input, read so that nothing can wait for ever."""

from __future__ import annotations

import io
import queue
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import av
from av.error import FFmpegError

from streamer.errors import SourceClosed, SourceStalled, SourceUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from av.audio.stream import AudioStream
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

    from streamer.connectors.sources.source import ByteStream, Fetch, Opening, Source
    from streamer.decode.streams import DecodeOptions

CONTAINERS: Final[frozenset[str]] = frozenset(
    {
        # Names as the demuxers spell them; one with commas is one demuxer.
        "aac", "ac3", "aiff", "amr", "amrnb", "amrwb", "apng", "asf", "au", "av1", "avi", "caf",
        "dnxhd", "dts", "dv", "eac3", "flac", "flv", "gif", "gxf", "h264", "hevc", "ivf", "m4v",
        "matroska,webm", "mjpeg", "mov,mp4,m4a,3gp,3g2,mj2", "mp3", "mpeg", "mpegts",
        "mpegvideo", "mxf", "nut", "nsv", "obu", "ogg", "rm", "swf", "truehd", "vc1", "voc",
        "w64", "wav", "wtv", "wv", "yuv4mpegpipe",
    }
)  # fmt: skip

DECLARES_DURATION: Final[frozenset[str]] = frozenset(
    {"asf", "avi", "caf", "flv", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "w64", "wav"}
)
"""Containers whose header says how long the whole is; others' duration is an estimate."""


def whitelist(more: frozenset[str] = frozenset()) -> str:
    """Return the demuxer option ``format_whitelist``.

    Args:
        more: Allowed besides the containers.
    """
    return ",".join(sorted(CONTAINERS | more))


T = TypeVar("T")

CONSECUTIVE_FAILURES: Final = 250
POLL_SECONDS: Final = 0.1
QUEUED_PACKETS: Final = 256
QUEUED_BYTES: Final = 64 << 20
PROBED_PIXELS: Final = 2 * 8192 * 8192
JOIN_SECONDS: Final = 0.5
GRACE_SECONDS: Final = 1.0


class Demuxer(Protocol):
    """An opened container."""

    container: InputContainer

    def packets(
        self, streams: Sequence[VideoStream | AudioStream]
    ) -> Iterator[Packet[Stream] | FFmpegError]:
        """Read to the end, or until the source is stopped.

        Args:
            streams: Those wanted.

        Yields:
            Packets, and errors after which reading continued.

        Raises:
            SourceInterrupted: A watched input stalled or broke off.
        """

    def close(self) -> None:
        """Free the container; may be called twice."""


def open_demuxer(
    source: Source,
    opening: Opening,
    options: DecodeOptions,
    threads: list[threading.Thread],
    hardware: HWAccel | None = None,
) -> Demuxer:
    """Open a container, by its deadline where the source has one.

    Args:
        source: Asked whether it was stopped.
        opening: How to reach it.
        options: Limits.
        threads: Takes the thread that reads, if there is one, also where opening fails.
        hardware: Helps to decode frames; None for the CPU.

    Raises:
        FFmpegError: The demuxer refuses the input, or the hardware fails.
        SourceError: What the source's own reading raised.
        SourceUnreachable: Nothing was known in time, or the source was stopped.
    """
    arguments = _arguments(opening, options, hardware)
    if opening.open_seconds is None:
        return DirectDemuxer(source, opening.target, arguments)
    return WatchedDemuxer(source, opening, arguments, threads)


class _Callbacks:
    """Keep what Python code raises while FFmpeg calls it, until FFmpeg's own call returns.

    PyAV keeps one exception a thread, prints further ones to standard error with their tracebacks,
    and raises one that was not fetched in a later, unrelated call. So none may reach it.
    """

    def __init__(self) -> None:
        self._raised: BaseException | None = None

    def run(self, call: Callable[[], T], failed: T) -> T:
        """Call something; give ``failed`` when it raises, and after it did until `check`."""
        if self._raised is not None:
            return failed
        try:
            return call()
        except BaseException as error:  # noqa: BLE001  (raised again by `check`)
            self._raised = error
            return failed

    def check(self) -> None:
        """Raise what the first failed call raised since the last check."""
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    def open(self, target: str | ByteStream, arguments: Mapping[str, Any]) -> InputContainer:
        """Open a container.

        Raises:
            FFmpegError: The demuxer refuses the input.
            SourceError: What the source's own reading raised.
        """
        shielded = target if isinstance(target, str) else _Shielded(target, self)
        fetch: Fetch | None = arguments["io_open"]
        if fetch is not None:
            arguments = {**arguments, "io_open": self._fetching(fetch)}
        try:
            container: InputContainer = av.open(shielded, "r", **arguments)
        except FFmpegError:
            self.check()
            raise
        try:
            self.check()
        except BaseException:
            container.close()
            raise
        return container

    def attempts(
        self, container: InputContainer, streams: Sequence[VideoStream | AudioStream]
    ) -> Iterator[Packet[Stream] | FFmpegError]:
        """Read on after a failed read, a bounded number of times in a row.

        Args:
            container: An open input.
            streams: Those wanted.

        Yields:
            Packets, and errors after which reading continued; after too many, the end.

        Raises:
            SourceError: What the source's own reading raised.
        """
        failures = 0
        # One failed read ends PyAV's generator but not the demuxer: ask for a new one.
        while failures <= CONSECUTIVE_FAILURES:
            try:
                for packet in container.demux(*streams):
                    self.check()
                    failures = 0
                    yield packet
            except FFmpegError as error:
                self.check()
                yield error
            except IndexError:
                # PyAV 18 stumbles at the end of a broadcast in which a stream appeared on the way.
                self.check()
            else:
                self.check()
                return
            failures += 1

    def _fetching(self, fetch: Fetch) -> Fetch:
        def shielded(url: str, flags: int, options: Mapping[str, str]) -> ByteStream:
            # What cannot be opened reads as empty.
            nothing: ByteStream = io.BytesIO()
            stream = self.run(lambda: fetch(url, flags, options), nothing)
            return _Shielded(stream, self)

        return shielded


class _Shielded:
    """Byte stream whose failures go to `_Callbacks`; it then reads as ended.

    Args:
        stream: Where the bytes come from.
        callbacks: Keep what it raises.
    """

    def __init__(self, stream: ByteStream, callbacks: _Callbacks) -> None:
        self._stream: Any = stream
        self._callbacks = callbacks

    def read(self, size: int = -1, /) -> bytes:
        """Read the next bytes; none at the end and after a failure."""
        return self._callbacks.run(lambda: self._stream.read(size), b"")

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to another byte; -1 after a failure."""
        return self._callbacks.run(lambda: self._stream.seek(offset, whence), -1)

    def tell(self) -> int:
        """Offset of the next byte; -1 after a failure."""
        return self._callbacks.run(lambda: self._stream.tell(), -1)

    def seekable(self) -> bool:
        """Return whether the demuxer may jump."""
        return self._callbacks.run(lambda: self._stream.seekable(), False)

    def close(self) -> None:
        """Give the stream up; that this fails changes nothing."""
        close = getattr(self._stream, "close", None)
        if close is not None:
            with suppress(Exception):
                close()


class DirectDemuxer:
    """Read in the caller's thread, for inputs whose reading can be stopped.

    Args:
        source: Asked whether it was stopped.
        target: What to open.
        arguments: Of `av.open`.
    """

    def __init__(self, source: Source, target: str | ByteStream, arguments: dict[str, Any]) -> None:
        self._source, self._callbacks = source, _Callbacks()
        self.container: InputContainer = self._callbacks.open(target, arguments)

    def packets(
        self, streams: Sequence[VideoStream | AudioStream]
    ) -> Iterator[Packet[Stream] | FFmpegError]:
        """Read to the end, or until the source is stopped."""
        for item in self._callbacks.attempts(self.container, streams):
            if self._source.stopped:
                return
            yield item

    def close(self) -> None:
        """Free the container."""
        self.container.close()


class WatchedDemuxer:
    """Read in a thread of its own, which is abandoned when it does not answer in time.

    A demuxer may block beyond its own time limits (looking up a name, a protocol that never
    asks), and cannot be interrupted from another thread. The reader therefore only ever waits
    for a queue; a thread that was abandoned frees its container when its call returns.

    Args:
        source: Asked whether it was stopped; closed first, so that its reads return.
        opening: What to open and its deadlines.
        arguments: Of `av.open`.
        threads: Takes the thread that reads.

    Raises:
        SourceUnreachable: No streams were known in time, or the source was stopped.
    """

    def __init__(
        self,
        source: Source,
        opening: Opening,
        arguments: dict[str, Any],
        threads: list[threading.Thread],
    ) -> None:
        assert opening.open_seconds is not None
        self._source, self._opening = source, opening
        stall = opening.stall_seconds
        self._stall = opening.open_seconds if stall is None else stall
        limits = (opening.open_seconds + GRACE_SECONDS, self._stall + GRACE_SECONDS)
        self._arguments = arguments | {"timeout": limits}
        self._wanted: queue.SimpleQueue[Sequence[VideoStream | AudioStream] | None]
        self._wanted = queue.SimpleQueue()
        self._queue: queue.Queue[Any] = queue.Queue(QUEUED_PACKETS)
        # Each is written by one thread only, so that neither needs a lock.
        self._put_bytes = self._taken_bytes = 0
        self._abandoned = self._ended = False
        self._opened: InputContainer | None = None
        name = f"{threading.current_thread().name} demux"
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        threads.append(self._thread)
        self._thread.start()
        try:
            opened = self._take(opening.open_seconds)
        except queue.Empty:
            wait = f"no answer within {opening.open_seconds:g} s"
            # Closing makes faults of its own.
            fault = source.fault() or SourceUnreachable(f"{source.name}: {wait}")
            self.close()
            raise fault from None
        if isinstance(opened, BaseException):
            self.close()
            raise opened
        self.container: InputContainer = opened

    def packets(
        self, streams: Sequence[VideoStream | AudioStream]
    ) -> Iterator[Packet[Stream] | FFmpegError]:
        """Read to the end, or until the source is stopped.

        Raises:
            SourceStalled: No packet came in time.
            SourceClosed: The connection broke.
        """
        self._wanted.put(streams)
        name = self._source.name
        while True:
            try:
                item = self._take(self._stall)
            except queue.Empty:
                if self._source.stopped:
                    return
                stalled = SourceStalled(f"{name}: nothing came for {self._stall:g} s")
                raise self._source.fault() or stalled from None
            if item is None or self._source.stopped:
                return
            if isinstance(item, FFmpegError):
                if not isinstance(item, av.error.InvalidDataError):
                    raise SourceClosed(f"{name}: broke off ({item.strerror})")
            elif isinstance(item, BaseException):
                raise item
            else:
                self._taken_bytes += item.size
            yield item

    def close(self) -> None:
        """Free the container, or leave that to the thread when it does not answer."""
        self._abandoned = True
        self._wanted.put(None)
        self._source.close()
        self._thread.join(JOIN_SECONDS)

    def _take(self, seconds: float) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            left = deadline - time.monotonic()
            try:
                return self._queue.get(timeout=max(0.0, min(POLL_SECONDS, left)))
            except queue.Empty:
                if self._source.stopped or left <= 0 or self._source.fault() is not None:
                    raise

    def _work(self) -> None:
        try:
            callbacks = _Callbacks()
            self._opened = callbacks.open(self._opening.target, self._arguments)
            self._put(self._opened)
            streams = self._wanted.get()
            if streams is not None:
                for item in callbacks.attempts(self._opened, streams):
                    self._put_bytes += 0 if isinstance(item, FFmpegError) else item.size
                    if not self._put(item):
                        break
            self._put(None)
        except BaseException as error:  # noqa: BLE001  (it crosses to the reader's thread)
            self._put(error)
        # The reader may still ask the streams for what they are.
        while not self._abandoned:
            self._wanted.get()
        if self._opened is not None:
            self._opened.close()

    def _put(self, item: object) -> bool:
        """Wait for room; return False once the reader has gone."""
        while not self._abandoned:
            if self._put_bytes - self._taken_bytes > QUEUED_BYTES and not self._queue.empty():
                time.sleep(POLL_SECONDS / 10)
                continue
            try:
                self._queue.put(item, timeout=POLL_SECONDS)
            except queue.Full:
                continue
            return True
        return False


def _arguments(
    opening: Opening, options: DecodeOptions, hardware: HWAccel | None
) -> dict[str, Any]:
    # These reach the decoders that find out what the streams are. Above the limit, so that
    # the size of what is too large is still known and can be reported.
    bomb = {"max_pixels": str(max(2 * options.max_pixels, PROBED_PIXELS))}
    return {
        "format": opening.format,
        "options": bomb,
        "container_options": {
            **opening.options,
            "format_whitelist": whitelist(opening.formats),
            "protocol_whitelist": ",".join(opening.protocols) or "pipe",
            "max_streams": str(options.max_streams),
            # FFmpeg takes any jump to near zero for a wrap of 33 bits, 26 hours ahead; whether
            # it is one is decided where the frames are placed.
            "correct_ts_overflow": "0",
        },
        "io_open": opening.fetch,
        "metadata_errors": "replace",
        "hwaccel": hardware,
    }
