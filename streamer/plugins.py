"""Find sources, sinks, aspects and shot detectors by name, and the base classes to write one.

Built-in parts and those of installed distributions stand in one table. A distribution adds a part
with an entry point, and nothing in this package changes::

    [project.entry-points."streamer.sinks"]
    webhook = "my_package:WebhookSink"
"""

from __future__ import annotations

import inspect
import queue
import sys
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Final, Literal, Protocol

from streamer.errors import PluginError, StreamerError
from streamer.extractor import SoundInput

if TYPE_CHECKING:
    from fractions import Fraction
    from os import PathLike

    import numpy as np
    from cloudevents.core.v1.event import CloudEvent
    from numpy.typing import NDArray

    from streamer.extractor import ClipInput, PictureInput

Group = Literal["sources", "sinks", "aspects", "shot_detectors"]

OWN: Final = "moae-streamer"

_SOURCES: Final = "streamer.connectors.sources"
_SINKS: Final = "streamer.connectors.sinks"
_NETWORKS: Final = "streamer.models.networks"

BUILT_IN: Final[Mapping[Group, Mapping[str, str]]] = {
    "sources": {
        **dict.fromkeys(
            ("http", "https", "hls+http", "hls+https", "dash+http", "dash+https"),
            f"{_SOURCES}.http:HttpSource",
        ),
        **dict.fromkeys(
            ("rtsp", "rtsps", "rtmp", "rtmps", "rtmpt", "rtmpts", "udp", "rtp", "srt"),
            f"{_SOURCES}.ffmpeg:FFmpegSource",
        ),
    },
    "sinks": {
        "file": f"{_SINKS}.registry:file_sink",
        "kafka": f"{_SINKS}.kafka:kafka_sink",
        "kafkas": f"{_SINKS}.kafka:kafka_sink",
    },
    "aspects": {
        "efficientnet-lite0": f"{_NETWORKS}.efficientnet_lite0:NETWORK",
        "ge2e": f"{_NETWORKS}.ge2e:NETWORK",
        "yamnet": f"{_NETWORKS}.yamnet:NETWORK",
        "aisfx-cnn9": f"{_NETWORKS}.aisfx_cnn9:NETWORK",
        "soundnet-conv5": f"{_NETWORKS}.soundnet_conv5:NETWORK",
        "musicnn-mtt": f"{_NETWORKS}.musicnn_mtt:NETWORK",
        "mtcnn-dlib": f"{_NETWORKS}.mtcnn_dlib:NETWORK",
        "grid-flow": f"{_NETWORKS}.grid_flow:NETWORK",
        "ina-smn": f"{_NETWORKS}.ina_smn:NETWORK",
        "resnet50-places365": f"{_NETWORKS}.resnet50_places365:NETWORK",
        "mtcnn-facenet": f"{_NETWORKS}.mtcnn_facenet:NETWORK",
        "lgss-audnet": f"{_NETWORKS}.lgss_audnet:NETWORK",
        "deep-speaker": f"{_NETWORKS}.deep_speaker:NETWORK",
        "vggish": f"{_NETWORKS}.vggish:VGGISH",
        "vggish-pca": f"{_NETWORKS}.vggish:VGGISH_PCA",
        "panns-cnn14": f"{_NETWORKS}.panns:CNN14",
        "panns-wavegram-logmel-cnn14": f"{_NETWORKS}.panns:WAVEGRAM_LOGMEL_CNN14",
        "openl3-music-mel256-512": f"{_NETWORKS}.openl3:NETWORK",
    },
    "shot_detectors": {
        "thumbnails": "streamer.shots.detector:ThumbnailDetector",
        "transnetv2": "streamer.shots.detector:TransnetDetector",
    },
}
"""Group → name → ``module:attribute``, as the entry points of other distributions say it."""

NOUNS: Final[Mapping[Group, str]] = {
    "sources": "source",
    "sinks": "sink",
    "aspects": "aspect",
    "shot_detectors": "shot detector",
}


@dataclass(frozen=True, slots=True)
class Plugin:
    """Describe one named part.

    Attributes:
        group: What it is.
        name: Scheme of a URL, or name in the settings.
        target: ``module:attribute``.
        distribution: Who provides it.
        version: Of the distribution; empty for a built-in part.
    """

    group: Group
    name: str
    target: str
    distribution: str = OWN
    version: str = ""

    @property
    def built_in(self) -> bool:
        """Whether it is part of this package."""
        return self.distribution == OWN and not self.version

    @property
    def label(self) -> str:
        """Name for errors, such as ``sink plug-in webhook (webhook-sink 1.0)``."""
        return f"{NOUNS[self.group]} plug-in {self.name} ({self.distribution} {self.version})"

    def settings(self, every: Mapping[str, Any]) -> Mapping[str, Any]:
        """Pick the settings that are meant for it, ``plugins.NAME`` in the settings."""
        own = every.get("plugins") or {}
        found: Mapping[str, Any] = own.get(self.name) or {}
        return found

    def load(self) -> Any:
        """Import it.

        Raises:
            PluginError: The import fails, or the attribute is not there.
        """
        module, _, attribute = self.target.partition(":")
        try:
            found: Any = import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (Exception, SystemExit) as error:
            if self.built_in:
                raise
            raise PluginError(
                f"{self.label}: cannot be imported: {type(error).__name__}: {error}"
            ) from error
        return found


def table(group: Group) -> dict[str, tuple[Plugin, ...]]:
    """List every part of a group by name; more than one under a name is a conflict."""
    found: dict[str, tuple[Plugin, ...]] = {
        name: (Plugin(group, name, target),) for name, target in BUILT_IN[group].items()
    }
    for each in _installed(tuple(sys.path)):
        if each.group == group:
            found[each.name] = (*found.get(each.name, ()), each)
    return found


def find(group: Group, name: str) -> Plugin | None:
    """Look a part up; None where there is none of that name.

    Raises:
        PluginError: Two distributions provide it.
    """
    found = table(group).get(name, ())
    if len(found) > 1:
        owners = " and ".join(f"{each.distribution} {each.version}".strip() for each in found)
        raise PluginError(
            f"{NOUNS[group]} {name} is provided by {owners}; uninstall all of them but one"
        )
    return found[0] if found else None


def nearest(name: str, names: Mapping[str, object]) -> str:
    """Say which of some names may have been meant, and list them."""
    near = get_close_matches(name, names, n=1)
    question = f"did you mean {near[0]}? " if near else ""
    return f"{question}there are {', '.join(sorted(names))}"


@lru_cache(maxsize=8)
def _installed(path: tuple[str, ...]) -> tuple[Plugin, ...]:
    """Read the entry points of installed distributions, once per search path."""
    found: dict[Plugin, None] = {}
    for group in BUILT_IN:
        for point in entry_points(group=f"streamer.{group}"):
            name, version = (
                (point.dist.name, point.dist.version) if point.dist is not None else ("?", "")
            )
            # The same distribution may lie on the path twice.
            found[Plugin(group, point.name, point.value, name, version)] = None
    return tuple(found)


class Event(Protocol):
    """Describe what `streamer.Boundary`, `Shot`, `Scene` and `Gap` have in common."""

    @property
    def stream(self) -> str:
        """Name of the stream."""

    @property
    def epoch(self) -> int:
        """Connection of a live stream, from 0."""

    @property
    def seconds(self) -> float:
        """Seconds since the start of the stream."""

    @property
    def timecode(self) -> str:
        """The same as a timecode."""

    def to_json(self) -> dict[str, Any]:
        """Turn the event into plain JSON values."""


@dataclass(frozen=True, slots=True)
class SinkContext:
    """Give a sink what it may need besides its location.

    Attributes:
        stream: Name of the stream.
        settings: Settings by name; an installed sink gets none but its own.
        warn: Takes one line for people, from any thread.
        abort: Set once delivery is not waited for any more: a sink that keeps events leaves them
            for later, and a call that still blocks fails.
    """

    stream: str = "stream"
    settings: Mapping[str, Any] = field(default_factory=dict)
    warn: Callable[[str], None] = lambda message: None
    abort: threading.Event = field(default_factory=threading.Event)


class Sink(ABC):
    """Take the events of one stream; subclasses define `write`.

    All methods are called from one thread of the sink's own, one at a time. An exception, or a
    call that takes longer than ``timeout``, ends the stream with one line that names the plug-in.

    Attributes:
        timeout: Seconds that one call may take.
        url: As given to ``--sink``.
        context: Stream, warnings, abort flag.
        cloud_event: The CloudEvents 1.0 envelope of the event that is being written.

    Example:
        >>> class PrintSink(Sink):
        ...     def write(self, event):
        ...         print(event.timecode, event.to_json())
    """

    timeout: ClassVar[float] = 60.0
    cloud_event: CloudEvent

    def __init__(self, url: str, context: SinkContext) -> None:
        self.url, self.context = url, context

    def open(self) -> None:  # noqa: B027  (optional)
        """Get ready before the first event; raise here where events could not be delivered."""

    @abstractmethod
    def write(self, event: Event) -> None:
        """Deliver one event, or keep it for `flush`.

        Args:
            event: A `streamer.Boundary`, `Shot`, `Scene` or `Gap`.
        """

    def flush(self) -> None:  # noqa: B027  (optional)
        """Return when every event written so far is delivered."""

    def close(self) -> None:  # noqa: B027  (optional)
        """Free what `open` took; called once, also after an error."""


class Source(ABC):
    """Say where the media of an address is; subclasses define `open`.

    A new object is made for every connection. An exception ends or reconnects the stream as the
    error says: ``OSError`` of a live source counts as a connection that broke.

    Attributes:
        live: The end of the data means that the connection was lost, and delay matters.
        location: As the user gave it.

    Example:
        >>> class TestCard(Source):
        ...     def open(self):
        ...         return f"/srv/cards/{self.location.partition('://')[2]}.mkv"
    """

    live: ClassVar[bool] = False

    def __init__(self, location: str) -> None:
        self.location = location

    @abstractmethod
    def open(self) -> str | PathLike[str] | BinaryIO:
        """Connect.

        Returns:
            A path or an address that this package reads itself, or a binary file object.
        """

    def close(self) -> None:  # noqa: B027  (optional)
        """Free what `open` took."""


class Aspect(ABC):
    """Describe pieces of a film in numbers; subclasses define `embed`.

    Attributes:
        input: Format of a piece: `streamer.extractor.SoundInput`, `PictureInput` or `ClipInput`.
        batch: Most pieces of one call.

    Example:
        >>> class Loudest(Aspect):
        ...     def embed(self, pieces):
        ...         return abs(pieces).max(axis=1, keepdims=True)
    """

    input: ClassVar[SoundInput | PictureInput | ClipInput] = SoundInput(16000, 16000, 16000)
    batch: ClassVar[int] = 64

    @abstractmethod
    def embed(self, pieces: NDArray[Any]) -> NDArray[np.floating[Any]]:
        """Turn pieces into tokens; the same piece gives the same token, whatever is beside it.

        Args:
            pieces: Audio as float32 ``(batch, window)`` within [-1, 1], frames as uint8
                ``(batch, 3, height, width)``, or clips as uint8 ``(batch, frames, 1, height,
                width)``.

        Returns:
            ``(batch, dim)`` with the same ``dim`` every time; finite also for silence and black,
            or NaN throughout a row in which nothing can be observed.
        """


class ShotDetector(ABC):
    """Find the first frames of shots; subclasses define `push`.

    A new object is made for every connection. Minimum and maximum length of shots, exact times
    and damaged frames are taken care of.

    Attributes:
        size: Width and height of the images.
        delay: Frames that are seen after a frame before it is decided, 0 to 100.

    Example:
        >>> class Jumps(ShotDetector):
        ...     mean = 0.0
        ...     def push(self, seconds, image):
        ...         before, self.mean = self.mean, float(image.mean())
        ...         return abs(self.mean - before) > 40
    """

    size: ClassVar[tuple[int, int]] = (48, 27)
    delay: ClassVar[int] = 0

    @abstractmethod
    def push(self, seconds: Fraction, image: NDArray[np.uint8]) -> bool:
        """Look at the next frame.

        Args:
            seconds: When it is shown, on the stream's own clock; exact.
            image: RGB ``(height, width, 3)``, the whole frame whatever its aspect ratio.

        Returns:
            Whether the frame ``delay`` frames before this one is the first of a new shot.
        """


class Guard:
    """Call a plug-in on a thread of its own, so that it can neither crash nor hold up a stream.

    Args:
        label: Names the plug-in in errors.
        error: What a failure is raised as.
        seconds: Longest that one call may take.
        aborted: Says whether waiting for the plug-in is over.
        hidden: Text that errors must not repeat → what stands for it.
    """

    def __init__(
        self,
        label: str,
        error: type[StreamerError],
        seconds: float = 60.0,
        aborted: Callable[[], bool] | None = None,
        hidden: Mapping[str, str] | None = None,
    ) -> None:
        self.label, self.seconds = label, seconds
        self._error, self._aborted, self._hidden = error, aborted, hidden or {}
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._started = False
        self._end: Callable[[], object] = weakref.finalize(self, self._calls.put, None)
        self.failed: StreamerError | None = None

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function and return what it returns.

        Raises:
            StreamerError: It raised, or did not return in time; so does every later call after
                one that did not return.
        """
        if self.failed is not None:
            raise self.failed
        if not self._started:
            self._started = True
            threading.Thread(
                target=_serve, args=(self._calls,), name=f"plug-in {self.label}", daemon=True
            ).start()
        future: Future[Any] = Future()
        self._calls.put((future, function, arguments))
        deadline = time.monotonic() + self.seconds
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or (self._aborted is not None and self._aborted()):
                name = getattr(function, "__name__", "call")
                limit = "before it was stopped" if left > 0 else f"in {self.seconds:g} s"
                self.failed = self.error(f"{name} did not return {limit}")
                raise self.failed
            try:
                return future.result(left if self._aborted is None else min(left, 0.1))
            except TimeoutError as error:
                if future.done():
                    raise self._raised(error) from error
            except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
                if not future.done():
                    raise
                raise self._raised(error) from error

    def error(self, message: str, kind: type[StreamerError] | None = None) -> StreamerError:
        """Make an error that names the plug-in."""
        for secret, shown in self._hidden.items():
            message = message.replace(secret, shown)
        return (kind or self._error)(f"{self.label}: {message}")

    def close(self) -> None:
        """End the thread once the running call returns."""
        self._end()

    def _raised(self, error: BaseException) -> StreamerError:
        if isinstance(error, StreamerError):
            kind = type(error) if isinstance(error, self._error) else self._error
            return self.error(str(error), kind)
        return self.error(f"{type(error).__name__}: {error}".removesuffix(": "))


_Call = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


def _serve(calls: queue.SimpleQueue[_Call | None]) -> None:
    while (call := calls.get()) is not None:
        future, function, arguments = call
        try:
            result = function(*arguments)
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError("is async; define it without async")
            future.set_result(result)
        except BaseException as error:  # noqa: BLE001  (it belongs to the caller)
            future.set_exception(error)
        # A result must not live until the next call.
        del call, future, function, arguments
