"""Find one stream's shots: two detectors with one interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from streamer.errors import ConfigError
from streamer.shots.signature import Signer
from streamer.shots.thumbnails import ShotSplitter
from streamer.shots.transnet import Thumbnailer, TransnetSplitter

if TYPE_CHECKING:
    from fractions import Fraction

    from streamer.shots.base import ShotOptions, Step
    from streamer.shots.thumbnails import SplitterState
    from streamer.shots.transnet import Network
    from streamer.timeline import Instant, Picture, Shot


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

    def finish(self, end: Instant) -> tuple[Shot, ...]:
        """Decide what is left at the end of the input."""

    def state(self) -> SplitterState | None:
        """Return what another detector needs to continue after the shot that closed last.

        Returns:
            None where that cannot be done exactly.
        """

    def resume(self, state: SplitterState) -> None:
        """Resume from a state; the next frame is the first one after ``state.start``."""


class ThumbnailDetector:
    """Find shots with a `ShotSplitter` on the signatures of frames.

    Args:
        options: Thresholds.
        frame_rate: Frames a second, None when unknown.
    """

    def __init__(self, options: ShotOptions, frame_rate: Fraction | None) -> None:
        self._splitter = ShotSplitter(options, frame_rate)
        self._signer = Signer()

    @property
    def latency_frames(self) -> int:
        """Frames that are looked at after a cut before it is decided, at most."""
        return self._splitter.latency_frames

    def push(self, picture: Picture) -> Step:
        """Take the next frame in presentation order."""
        doubtful = picture.frame.is_corrupt and self._splitter.begun
        signature = None if doubtful else self._signer.sign(picture.frame)
        return self._splitter.push(picture.start, signature)

    def finish(self, end: Instant) -> tuple[Shot, ...]:
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

    def finish(self, end: Instant) -> tuple[Shot, ...]:
        """Decide what is left at the end of the input."""
        return self._splitter.finish(end)

    def state(self) -> None:
        """Return nothing: what a window decides depends on frames long before the shot."""

    def resume(self, state: SplitterState) -> None:
        """Refuse a state, which is another detector's.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError("shots.detector: an epoch begun with thumbnails cannot go on otherwise")


def make_detector(
    options: ShotOptions, frame_rate: Fraction | None, network: Network | None = None
) -> Detector:
    """Build the detector that the options choose.

    Args:
        options: Which, and its thresholds.
        frame_rate: Frames a second, None when unknown.
        network: The loaded network; only where the settings want one.

    Returns:
        A detector for one stream.

    Raises:
        ValueError: The settings want a network and none is given.
    """
    if options.detector == "thumbnails":
        return ThumbnailDetector(options, frame_rate)
    if network is None:
        raise ValueError(f"shots.detector {options.detector} needs its network")
    return TransnetDetector(options, network)
