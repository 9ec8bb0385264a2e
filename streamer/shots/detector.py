"""Turn the frames of one stream into shots: built-in detectors and plug-ins."""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
from av.video.reformatter import VideoReformatter

from streamer.errors import ConfigError, PluginError
from streamer.plugins import Guard, ShotDetector, find, nearest, table
from streamer.shots.base import MAX_DELAY, ShotBuilder, Step
from streamer.shots.signature import Signer
from streamer.shots.thumbnails import ShotSplitter
from streamer.shots.transnet import Thumbnailer, TransnetSplitter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamer.plugins import Plugin
    from streamer.shots.base import ShotOptions
    from streamer.shots.thumbnails import SplitterState
    from streamer.shots.transnet import Network
    from streamer.timeline import Picture, Shot, Timestamp

MAX_FRAMES: Final = 100
"""Longest delay that a plug-in may ask for, in frames; their images are not kept."""

_OTHER_STATE: Final = "shots.detector: an epoch begun with thumbnails cannot continue otherwise"


class Detector(Protocol):
    """Find shots in frames, with a delay bounded in frames and by `MAX_DELAY` in seconds.

    A frame in which the decoder concealed errors is no evidence for a cut: it counts as the one
    before shown again.
    """

    @property
    def latency_frames(self) -> int:
        """Frames that are looked at after a cut before it is decided, at most."""

    def push(self, picture: Picture) -> Step:
        """Take the next frame in presentation order."""

    def finish(self, end: Timestamp) -> tuple[Shot, ...]:
        """Decide what is left at the end of the input."""

    def state(self) -> SplitterState | None:
        """Return what another detector needs to continue after the shot that closed last.

        Returns:
            None where that cannot be done exactly.
        """

    def resume(self, state: SplitterState) -> None:
        """Resume from a state; the next frame is the first one after ``state.start``."""


MAX_REPEATED: Final = 4
"""Damaged frames in a row that count as the one before shown again. Motion over a longer run would
look like a cut, so from there on what the decoder made of them is taken."""


class ThumbnailDetector:
    """Find shots with a `ShotSplitter` on the signatures of frames.

    Args:
        options: Thresholds.
        frame_rate: Frames a second, None when unknown.
    """

    def __init__(self, options: ShotOptions, frame_rate: Fraction | None) -> None:
        self._splitter = ShotSplitter(options, frame_rate)
        self._signer = Signer()
        self._damaged = 0

    @property
    def latency_frames(self) -> int:
        """Frames that are looked at after a cut before it is decided, at most."""
        return self._splitter.latency_frames

    def push(self, picture: Picture) -> Step:
        """Take the next frame in presentation order."""
        self._damaged = self._damaged + 1 if picture.frame.is_corrupt else 0
        repeats = 0 < self._damaged <= MAX_REPEATED and self._splitter.begun
        signature = None if repeats else self._signer.sign(picture.frame)
        return self._splitter.push(picture.start, signature)

    def finish(self, end: Timestamp) -> tuple[Shot, ...]:
        """Decide what is left at the end of the input."""
        return self._splitter.finish(end)

    def state(self) -> SplitterState:
        """Return what another detector needs to continue after the shot that closed last."""
        return self._splitter.state()

    def resume(self, state: SplitterState) -> None:
        """Resume from a state; the next frame is the first one after ``state.start``."""
        self._splitter.resume(state)


class TransnetDetector:
    """Find shots with a `TransnetSplitter` on small frames.

    Args:
        options: Lengths of shots, and how certain the network must be.
        network: Looks at windows of frames.
    """

    def __init__(self, options: ShotOptions, network: Network) -> None:
        self._splitter = TransnetSplitter(options, network)
        self._thumbnailer = Thumbnailer()

    @property
    def latency_frames(self) -> int:
        """Frames that are looked at after a cut before it is decided, at most."""
        return self._splitter.latency_frames

    def push(self, picture: Picture) -> Step:
        """Take the next frame in presentation order."""
        doubtful = picture.frame.is_corrupt and self._splitter.begun
        thumbnail = None if doubtful else self._thumbnailer.make(picture.frame)
        return self._splitter.push(picture.start, thumbnail)

    def finish(self, end: Timestamp) -> tuple[Shot, ...]:
        """Decide what is left at the end of the input."""
        return self._splitter.finish(end)

    def state(self) -> None:
        """Return nothing: what a window decides depends on frames long before the shot."""

    def resume(self, state: SplitterState) -> None:
        """Refuse a state, which is another detector's.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "shots.detector: an epoch begun with thumbnails cannot continue otherwise"
        )


class PluginDetector:
    """Close shots where a plug-in's detector says so, with bounded delay.

    A frame is decided with the answer to the frame ``delay`` later, and counts as no cut once it
    lies more than `MAX_DELAY` before the latest. The last ``delay`` frames of the input are no
    cuts. Damaged frames count as the one before shown again.

    Args:
        plugin: Its entry in the table.
        options: Shortest and longest shot.

    Raises:
        PluginError: It cannot be imported, is no `ShotDetector`, or raises when it is made.
    """

    def __init__(self, plugin: Plugin, options: ShotOptions) -> None:
        kind = plugin.load()
        if not (isinstance(kind, type) and issubclass(kind, ShotDetector)):
            raise PluginError(
                f"{plugin.label}: {plugin.target} is not a subclass of "
                "streamer.plugins.ShotDetector"
            )
        self._guard = Guard(plugin.label, PluginError)
        self._delay, self._size = _checked(plugin, kind)
        self._detector: ShotDetector = self._guard.call(kind)
        self._scaler = VideoReformatter()
        self._shortest = Fraction(options.min_seconds).limit_denominator(10**6)
        self._longest = Fraction(options.max_seconds).limit_denominator(10**6)
        self._image: NDArray[np.uint8] | None = None
        # Frames without an answer; of these the first `_late` have been decided without one.
        self._pending: deque[Timestamp] = deque()
        self._late = 0
        self._shots = ShotBuilder()
        self._last_cut: Timestamp | None = None
        self._newest: Timestamp | None = None

    @property
    def latency_frames(self) -> int:
        """Return how many frames are looked at after a cut before it is decided, at most."""
        return self._delay

    def push(self, picture: Picture) -> Step:
        """Take the next frame in presentation order.

        Raises:
            PluginError: The plug-in raises, does not return in time, or answers neither True nor
                False.
            ValueError: The frame is not later than the one before.
        """
        if self._newest is not None and picture.start <= self._newest:
            raise ValueError(f"frame at {picture.start.seconds} s is not after the last")
        self._newest = picture.start
        if self._shots.start is None:
            self._shots.start = self._last_cut = picture.start
        if self._image is None or not picture.frame.is_corrupt:
            width, height = self._size
            small = self._scaler.reformat(
                picture.frame, width, height, "rgb24", interpolation="BICUBIC", threads=1
            )
            self._image = small.to_ndarray().astype(np.uint8, copy=False)
            self._image.setflags(write=False)
        answer = self._guard.call(self._detector.push, picture.start.seconds, self._image)
        if not isinstance(answer, bool | np.bool_):
            raise self._guard.error(f"push gave {type(answer).__name__}, expected True or False")
        self._pending.append(picture.start)
        closed: list[Shot] = []
        if len(self._pending) > self._delay:
            at = self._pending.popleft()
            if self._late:
                self._late -= 1
            else:
                closed += self._decide(at, cut=bool(answer))
        while self._late < len(self._pending):
            at = self._pending[self._late]
            if picture.start.seconds - at.seconds <= MAX_DELAY:
                break
            self._late += 1
            closed += self._decide(at, cut=False)
        undecided = self._pending[self._late] if self._late < len(self._pending) else picture.start
        return Step(tuple(closed), undecided)

    def finish(self, end: Timestamp) -> tuple[Shot, ...]:
        """Decide what is left at the end of the input.

        Raises:
            ValueError: The end lies before the last frame.
        """
        self._guard.close()
        if self._shots.start is None:
            return ()
        if self._newest is not None and end < self._newest:
            raise ValueError(f"the end at {end.seconds} s is before the last frame")
        closed: list[Shot] = []
        for at in list(self._pending)[self._late :]:
            closed += self._decide(at, cut=False)
        return (*closed, self._shots.close(end, "end"))

    def state(self) -> None:
        """Return nothing: what a plug-in remembers is not known."""

    def resume(self, state: SplitterState) -> None:
        """Refuse the state of another detector.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(
            "shots.detector: an epoch begun with thumbnails cannot continue otherwise"
        )

    def _decide(self, at: Timestamp, *, cut: bool) -> tuple[Shot, ...]:
        assert self._last_cut is not None
        if cut and at.seconds - self._last_cut.seconds >= self._shortest:
            self._last_cut = at
            return (self._shots.close(at, "cut"),)
        over = self._shots.lasted(at) >= self._longest
        return (self._shots.close(at, "forced"),) if over else ()


def _checked(plugin: Plugin, kind: type[ShotDetector]) -> tuple[int, tuple[int, int]]:
    """Check the delay and the size of the images that a plug-in asks for."""
    delay, size = kind.delay, kind.size
    if not (isinstance(delay, int) and 0 <= delay <= MAX_FRAMES):
        raise PluginError(f"{plugin.label}: delay = {delay!r} is not from 0 to {MAX_FRAMES}")
    fits = isinstance(size, tuple) and len(size) == 2
    if not (fits and all(isinstance(each, int) and 1 <= each <= 1920 for each in size)):
        raise PluginError(f"{plugin.label}: size = {size!r} is not (width, height) up to 1920")
    return delay, size


def make_detector(
    options: ShotOptions, frame_rate: Fraction | None, network: Network | None = None
) -> Detector:
    """Build the detector that the options choose.

    Args:
        options: Which, and its thresholds.
        frame_rate: Frames a second, None when unknown.
        network: The loaded network; only for ``transnetv2``.

    Returns:
        A detector for one stream.

    Raises:
        ConfigError: There is no such detector; the message names the nearest.
        PluginError: The plug-in cannot be used.
        ValueError: The detector wants a network and none is given.
    """
    plugin = find("shot_detectors", options.detector)
    if plugin is None:
        raise ConfigError(
            f"shots.detector = {options.detector}: no such detector; "
            f"{nearest(options.detector, table('shot_detectors'))}"
        )
    if not plugin.built_in:
        return PluginDetector(plugin, options)
    if options.detector == "thumbnails":
        return ThumbnailDetector(options, frame_rate)
    if network is None:
        raise ValueError(f"shots.detector {options.detector} needs its network")
    return TransnetDetector(options, network)
