"""Segment video and audio into scenes: the public interface of the package.

Everything here is also an attribute of the package itself, where it is imported on first use::

    import streamer

    for event in streamer.segment("film.mp4"):
        if isinstance(event, streamer.Boundary):
            print(event.seconds, event.score)
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from streamer.config.load import make_settings
from streamer.connectors.sources.file import ObjectSource
from streamer.connectors.sources.registry import open_source
from streamer.events.names import default_stream_name
from streamer.events.payload import Boundary, Gap, Scene, Shot, Wallclock
from streamer.live.reconnect import SourceFactory
from streamer.live.stream import StreamRun
from streamer.pipeline.embedder import PARALLEL_NETWORKS, ShotEmbedder
from streamer.pipeline.epoch import EpochRun
from streamer.pipeline.progress import (
    Behind,
    Counts,
    Delivered,
    Disconnected,
    Opened,
    Progress,
    SavePoint,
    StageTimes,
)
from streamer.pipeline.scenes import OpenEpoch, shot_event
from streamer.shots.base import ShotOptions
from streamer.timeline import Instant, Picture, Sound, StreamInfo

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
    from types import TracebackType

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from streamer.config.settings import Settings
    from streamer.connectors.sources.source import Source
    from streamer.events.payload import EventData
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.epoch import Epoch, Step
    from streamer.timeline import EmbeddedShot
    from streamer.timeline import Shot as ShotSpan

    Location = str | PathLike[str] | BinaryIO

Event = Boundary | Shot | Scene | Gap | Progress | Opened | Disconnected | Behind
"""What a stream yields. Boundaries, shots, scenes and gaps are the events that also go to sinks;
the others report on the stream itself."""

_INTERNAL: Final = (Delivered, SavePoint)
_STOP_SECONDS: Final = 10.0


class Model:
    """The networks and the mixture of one checkpoint, loaded once.

    Make it with `load`. It is never changed by use: any number of streams and threads may share
    it.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __repr__(self) -> str:
        config = self._engine.model.config
        return f"Model({config.row!r}, device={self.device!r}, threshold={config.threshold:.3f})"

    @property
    def device(self) -> str:
        """Where the networks run: ``cpu`` or ``cuda``."""
        return str(self._engine.device)

    @property
    def networks(self) -> dict[str, str]:
        """Aspect slot → network that fills it."""
        return self._engine.networks

    @property
    def aspects(self) -> dict[str, int]:
        """Aspect slot → length of its tokens, for the aspects that the mixture uses."""
        return {name: spec.dim for name, spec in self._engine.model.config.aspects.items()}

    @property
    def threshold(self) -> float:
        """Score from which on a shot boundary is a scene boundary, unless a segmenter is told
        otherwise."""
        return self._engine.model.config.threshold

    @property
    def lookahead(self) -> int:
        """Further shots that a decision waits for, unless a segmenter is told otherwise."""
        return self._engine.model.config.lookahead

    def score(
        self, tokens: Sequence[Mapping[str, Tensor]], *, lookahead: int | None = None
    ) -> Tensor:
        """Score every boundary between the shots of a film, exactly as a live stream would.

        Args:
            tokens: For each shot, aspect → float tensor ``(n, dim)`` with ``n ≥ 1``; see
                `aspects`. An aspect that was not observed in a shot is left out.
            lookahead: Shots to wait for beyond the paper's ``w_b``; None takes the checkpoint's.

        Returns:
            Float32 probabilities ``(shots - 1,)``, on the CPU; entry ``i`` is the boundary
            between shots ``i`` and ``i + 1``.

        Raises:
            CheckpointError: Tokens have another length than the mixture was trained on, or the
                look-ahead does not fit it.
            ValueError: Tokens are not finite.
        """
        import torch

        from streamer.window.scorer import CausalScorer

        segmenter = CausalScorer(self._engine.model, lookahead)
        scores: list[float] = []
        for shot in tokens:
            arrays = {name: rows.detach().cpu().float().numpy() for name, rows in shot.items()}
            scores += [decision.score for decision in segmenter.push(arrays)]
        scores += [decision.score for decision in segmenter.finish()]
        return torch.tensor(scores, dtype=torch.float32)


def load(
    checkpoint: str | PathLike[str] | None = None,
    device: str = "auto",
    *,
    options: Mapping[str, object] | None = None,
) -> Model:
    """Load the networks and the mixture.

    Weights that are not in the cache are an error: ``streamer weights pull`` fetches them.

    Args:
        checkpoint: A ``.safetensors`` file of experts and mixer; None takes the one that ships.
        device: ``auto`` (CUDA where it is), ``cpu`` or ``cuda``.
        options: Other settings by their key in config.toml, such as ``{"runtime.threads": 2}``.

    Example:
        >>> import streamer
        >>> model = streamer.load()
        >>> sorted(model.aspects)
        ['musicnn', 'openl3', 'panns', 'place', 'speaker', 'vggish']

    Raises:
        CheckpointError: The checkpoint is unusable.
        ConfigError: An option is unknown or out of range.
        DeviceError: The device is not there.
        WeightsError: Weights are missing or corrupt.
    """
    from streamer.models.weights.store import WeightStore
    from streamer.pipeline.engine import load_engine

    settings = make_settings(
        {
            **(options or {}),
            "segment.checkpoint": None if checkpoint is None else str(checkpoint),
            "runtime.device": device,
        }
    )
    return Model(load_engine(settings, WeightStore(offline=settings.runtime.offline)))


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How a live input that goes away is connected again.

    Attributes:
        attempts: Failures in a row before the stream ends with the error; 0 is no limit.
        first_wait: Seconds before the first attempt, at most; doubles with each failure.
        max_wait: Seconds between attempts, at most.
    """

    attempts: int = 0
    first_wait: float = 0.5
    max_wait: float = 30.0


class Segmenter:
    """Segment any number of streams with one model and one set of options.

    Closing it, or leaving its context, stops every stream that is still being iterated.

    Args:
        model: From `load`; None loads the checkpoint that ships, on first use.
        threshold: Score from which on a shot boundary is a scene boundary, 0 to 1; None takes the
            checkpoint's.
        lookahead: Shots to wait for beyond the paper's ``w_b``, 0 to 9; None takes the
            checkpoint's.
        follow: Read files as they grow, until nothing comes for ``idle_timeout`` seconds.
        idle_timeout: Seconds.
        realtime: Pace files as if they were live.
        reconnect: Of live inputs; None takes the defaults.
        options: Other settings by their key in config.toml, such as
            ``{"shots.max_seconds": 20.0}``.

    Example:
        >>> import streamer
        >>> with streamer.Segmenter(threshold=0.6) as segmenter:
        ...     for event in segmenter.stream("film.mp4"):
        ...         if isinstance(event, streamer.Scene):
        ...             print(event.timecode, event.scene.shots, "shots")  # doctest: +ELLIPSIS
        00:00:00:00 ... shots
        ...

    Raises:
        ConfigError: An option is unknown or out of range.
    """

    def __init__(
        self,
        model: Model | None = None,
        *,
        threshold: float | None = None,
        lookahead: int | None = None,
        follow: bool = False,
        idle_timeout: float = 10.0,
        realtime: bool = False,
        reconnect: Reconnect | None = None,
        options: Mapping[str, object] | None = None,
    ) -> None:
        again = Reconnect() if reconnect is None else reconnect
        self._settings = make_settings(
            {
                **(options or {}),
                "segment.threshold": threshold,
                "segment.lookahead": lookahead,
                "source.follow": follow,
                "source.idle_timeout": idle_timeout,
                "source.realtime": realtime,
                "reconnect.attempts": again.attempts,
                "reconnect.first_wait_seconds": again.first_wait,
                "reconnect.max_wait_seconds": again.max_wait,
            }
        )
        self._model = model
        self._lock = threading.Lock()
        self._runs: set[StreamRun] = set()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def model(self) -> Model:
        """The model; loaded on first use where none was given."""
        with self._lock:
            if self._model is None:
                self._model = load(options=self._settings.model_dump(include={"runtime"}))
            return self._model

    def close(self) -> None:
        """Stop every stream that is still being iterated; each ends after its running shot."""
        with self._lock:
            self._closed = True
            runs = tuple(self._runs)
        for run in runs:
            run.stop()

    def stream(self, location: Location, *, name: str | None = None) -> Generator[Event]:
        """Segment one stream.

        Breaking off the loop, an exception in it or closing the generator ends the stream's
        threads, files and connections.

        Args:
            location: A path, ``-`` for standard input, a URL (http, https, rtsp, rtmp, srt, udp,
                rtp), ``mic:``, ``camera:`` or ``screen:`` with a device, or a binary file object,
                which stays open.
            name: Of the stream in its events; None derives it from the location.

        Yields:
            Events in the order of the input.

        Raises:
            SourceError: The input is missing or unusable: at once where that is known before it
                is opened, else while iterating, after all events before it.
            CheckpointError: The look-ahead does not fit the checkpoint.
            WeightsError: Weights of the model are missing or corrupt.
        """
        first, connect = _connector(location, self._settings)
        stream = name or _name(first, location)
        return self._events(stream, connect)

    async def astream(
        self, location: Location, *, name: str | None = None
    ) -> AsyncGenerator[Event]:
        """Segment one stream without blocking the event loop; otherwise as `stream`.

        Cancelling the task or closing the generator ends the stream.

        Example:
            >>> import asyncio, streamer
            >>> async def main():
            ...     async for event in streamer.Segmenter().astream("film.mp4"):
            ...         if isinstance(event, streamer.Boundary):
            ...             print(event.seconds)
        """
        loop = asyncio.get_running_loop()
        first, connect = await loop.run_in_executor(None, _connector, location, self._settings)
        stream = name or _name(first, location)
        running: list[StreamRun] = []
        events = self._events(stream, connect, running.append)
        step: asyncio.Future[Event | None] | None = None
        try:
            while True:
                step = loop.run_in_executor(None, next, events, None)
                event = await asyncio.shield(step)
                if event is None:
                    return
                yield event
        finally:
            for run in running:
                run.stop(final=False)
            if step is not None and not step.done():
                await asyncio.wait([step], timeout=_STOP_SECONDS)
            if step is None or step.done():
                await loop.run_in_executor(None, events.close)

    def push(
        self,
        *,
        name: str = "stream",
        frame_rate: Fraction | None = None,
        video: bool = True,
        audio: bool = True,
    ) -> Push:
        """Segment frames and samples that the caller has decoded already.

        Args:
            name: Of the stream in its events.
            frame_rate: Frames a second, for timecodes; None where it varies or is not known.
            video: Frames will come.
            audio: Audio will come; without it nothing waits for it.

        Raises:
            ValueError: Neither is to come.
        """
        if not (video or audio):
            raise ValueError("a stream has video, audio or both")
        info = StreamInfo(video, audio, frame_rate, None, "push", None, None, 0, 0)
        return Push(self.model._engine, self._settings, name, info)

    def _events(
        self,
        stream: str,
        connect: Callable[[], Source],
        began: Callable[[StreamRun], None] | None = None,
    ) -> Generator[Event]:
        from streamer.pipeline.segmentation import StreamSegmentation

        engine, settings = self.model._engine, self._settings
        segmentation = StreamSegmentation(
            stream,
            engine.model,
            threshold=settings.segment.threshold,
            lookahead=settings.segment.lookahead,
        )
        run = StreamRun(
            stream,
            connect,
            settings,
            segmentation,
            extractors=engine.extractors,
            shot_network=engine.shot_network,
        )
        with self._lock:
            if self._closed:
                raise ValueError("the segmenter is closed")
            self._runs.add(run)
        if began is not None:
            began(run)
        try:
            with closing(run.events()) as events:
                for event in events:
                    if not isinstance(event, _INTERNAL):
                        yield event
        finally:
            with self._lock:
                self._runs.discard(run)


class Push:
    """Take decoded frames and samples of one stream, and return events.

    Frames and audio are pushed in the order of their times, each kind for itself; audio may run a
    few seconds ahead of or behind the frames, as in a file.

    Example:
        >>> import numpy as np, streamer
        >>> from fractions import Fraction
        >>> with streamer.Segmenter() as segmenter:
        ...     push = segmenter.push(frame_rate=Fraction(25), audio=False)
        ...     for pts in range(50):
        ...         frame = np.zeros((120, 160, 3), np.uint8)
        ...         events = push.push_video(frame, pts, Fraction(1, 25))
        ...     closing = push.close()
        >>> [type(event).__name__ for event in closing]
        ['Shot', 'Scene']
    """

    def __init__(self, engine: Engine, settings: Settings, name: str, info: StreamInfo) -> None:
        from streamer.pipeline.segmentation import StreamSegmentation

        self._segmentation = StreamSegmentation(
            name,
            engine.model,
            threshold=settings.segment.threshold,
            lookahead=settings.segment.lookahead,
        )
        times = StageTimes()
        embedder = ShotEmbedder(
            info,
            engine.extractors,
            settings.shots.to(ShotOptions),
            key_frame_interval=settings.aspects.key_frame_interval,
            key_frame_offset=settings.aspects.key_frame_offset,
            max_interleave=settings.decode.max_interleave,
            batch=1,
            workers=PARALLEL_NETWORKS,
            times=times,
            shot_network=engine.shot_network,
        )
        self._run = EpochRun(
            info, embedder, self._segmentation, engine.networks, Counts(), times, number=0
        )
        self._info = info
        self._latest: dict[type[Picture | Sound], Instant] = {}
        self._closed = False

    def push_video(
        self, frame: NDArray[np.uint8], pts: int, time_base: Fraction = Fraction(1, 1000)
    ) -> list[Event]:
        """Take the next frame.

        Args:
            frame: Uint8 ``(height, width, 3)`` RGB or ``(height, width)`` grey; the size may
                change from frame to frame.
            pts: When it is shown, in ticks of ``time_base``.
            time_base: Seconds a tick.

        Returns:
            The events that became known.

        Raises:
            ValueError: The array has another shape or type, the time is not after that of the
                frame before, or the stream was closed or has no video.
        """
        import av
        import numpy as np

        array = np.ascontiguousarray(frame)
        grey = array.ndim == 2
        if array.dtype != np.uint8 or not (grey or (array.ndim == 3 and array.shape[2] == 3)):
            raise ValueError(
                f"a frame is uint8 (height, width[, 3]), not {array.dtype} {array.shape}"
            )
        if 0 in array.shape:
            raise ValueError(f"a frame of {array.shape[1]} x {array.shape[0]} has no pixels")
        start = self._check(Picture, pts, time_base, self._info.has_picture)
        made = av.VideoFrame.from_ndarray(array, format="gray" if grey else "rgb24")
        made.pts, made.time_base = pts, start.time_base
        return self._take(Picture(start, made))

    def push_audio(
        self,
        samples: NDArray[np.float32],
        pts: int,
        time_base: Fraction | None = None,
        *,
        sample_rate: int,
    ) -> list[Event]:
        """Take the next block of audio.

        Args:
            samples: Float ``(samples,)`` or ``(channels, samples)`` within [-1, 1].
            pts: When the first sample sounds, in ticks of ``time_base``.
            time_base: Seconds a tick; None is ``1 / sample_rate``.
            sample_rate: Samples a second, 1 to 768,000.

        Returns:
            The events that became known.

        Raises:
            ValueError: The array has another shape or type or is not finite, the time is not
                after that of the block before, or the stream was closed or has no audio.
        """
        import av
        import numpy as np

        if not 1 <= sample_rate <= 768_000:
            raise ValueError(f"a sample rate of {sample_rate} is not within 1 and 768000")
        array = np.atleast_2d(np.asarray(samples))
        if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating) or 0 in array.shape:
            raise ValueError(
                f"audio is floats ([channels,] samples), not {array.dtype} {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError("audio has samples that are not finite")
        if len(array) > 2:
            array = array.mean(axis=0, keepdims=True)
        base = Fraction(1, sample_rate) if time_base is None else time_base
        start = self._check(Sound, pts, base, self._info.has_sound)
        layout = "mono" if len(array) == 1 else "stereo"
        planar = np.ascontiguousarray(array, dtype=np.float32)
        made = av.AudioFrame.from_ndarray(planar, format="fltp", layout=layout)
        made.sample_rate, made.pts, made.time_base = sample_rate, pts, start.time_base
        return self._take(Sound(start, made))

    def close(self) -> list[Event]:
        """End the stream: close the running shot and decide what is left.

        Returns:
            The last events; none on a second call.
        """
        if self._closed:
            return []
        self._closed = True
        events = _events_of(self._run.finish(lost=False))
        return [*events, *self._segmentation.finish()]

    def _check(
        self, kind: type[Picture | Sound], pts: int, time_base: Fraction, expected: bool
    ) -> Instant:
        if self._closed:
            raise ValueError("the stream was closed")
        if not expected:
            raise ValueError("the stream was made without this kind of input")
        base = Fraction(time_base)
        if base <= 0:
            raise ValueError(f"a time base of {base} is not positive")
        start, before = Instant(int(pts), base), self._latest.get(kind)
        if before is not None and start <= before:
            raise ValueError(
                f"{float(start.seconds):.6f} s came after {float(before.seconds):.6f} s"
            )
        self._latest[kind] = start
        return start

    def _take(self, item: Picture | Sound) -> list[Event]:
        return _events_of(self._run.take(item))


def _events_of(steps: Iterator[Step]) -> list[Event]:
    return [event for step in steps for event in step.events]


def segment(
    location: Location,
    *,
    model: Model | None = None,
    threshold: float | None = None,
    lookahead: int | None = None,
    name: str | None = None,
    options: Mapping[str, object] | None = None,
) -> Generator[Event]:
    """Segment one stream into scenes.

    For several streams make one `Segmenter`, or one `Model` with `load`, and share it: loading
    the networks takes seconds.

    Args:
        location: As for `Segmenter.stream`.
        model: From `load`; None loads the checkpoint that ships.
        threshold: Score from which on a shot boundary is a scene boundary, 0 to 1.
        lookahead: Shots to wait for beyond the paper's ``w_b``, 0 to 9.
        name: Of the stream in its events.
        options: Other settings by their key in config.toml.

    Returns:
        A generator of events in the order of the input.

    Example:
        >>> import streamer
        >>> for event in streamer.segment("film.mp4"):
        ...     if isinstance(event, streamer.Boundary):
        ...         print(f"{event.seconds:.2f} {event.score:.2f}")  # doctest: +ELLIPSIS
        4...

    Raises:
        SourceError: As for `Segmenter.stream`.
        ConfigError: An option is unknown or out of range.
    """
    segmenter = Segmenter(model, threshold=threshold, lookahead=lookahead, options=options)
    return segmenter.stream(location, name=name)


class _ShotEvents:
    """Turn closed shots into events; `streamer.pipeline.segmentation.ShotConsumer`."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._within: OpenEpoch | None = None
        self._last: tuple[int, ShotSpan] | None = None
        self._read = Fraction(0)

    @property
    def epoch(self) -> Epoch | None:
        return None if self._within is None else self._within.epoch

    @property
    def last(self) -> tuple[int, ShotSpan] | None:
        return self._last

    def begin(self, epoch: Epoch) -> Sequence[EventData]:
        base = Fraction(0)
        if self._within is not None and self._last is not None:
            base = self._within.elapsed(self._last[1].end.seconds)
        self._within = OpenEpoch(epoch, base)
        return ()

    def push(
        self, shot: EmbeddedShot, wallclock: float | None = None, arrival: float | None = None
    ) -> Sequence[EventData]:
        assert self._within is not None
        self._last = self._within.epoch.number, shot.shot
        self._read = max(self._read, self._within.elapsed(shot.closed_at))
        clock = Wallclock.of(wallclock, arrival)
        return (shot_event(self._stream, self._within, shot, clock, self._read),)

    def finish(self) -> Sequence[EventData]:
        return ()


def detect_shots(
    location: Location,
    *,
    name: str | None = None,
    options: Mapping[str, object] | None = None,
) -> Generator[Shot]:
    """Split one stream into shots; this needs neither torch nor weights.

    Args:
        location: As for `Segmenter.stream`.
        name: Of the stream in its events.
        options: Settings by their key in config.toml, such as ``{"shots.min_seconds": 1.0}``.

    Returns:
        A generator of shots in order, each as soon as its end is known.

    Example:
        >>> import streamer
        >>> shots = list(streamer.detect_shots("film.mp4"))
        >>> shots[0].seconds
        0.0
        >>> shots[0].end == shots[1].at
        True

    Raises:
        SourceError: As for `Segmenter.stream`.
        ConfigError: An option is unknown or out of range, or asks for a network.
    """
    settings = make_settings(options or {})
    first, connect = _connector(location, settings)
    stream = name or _name(first, location)
    network = None
    if settings.shots.detector == "transnetv2":
        from streamer.models.weights.store import WeightStore
        from streamer.pipeline.engine import choose_device, load_shot_network

        store = WeightStore(offline=settings.runtime.offline)
        network = load_shot_network(settings.shots, store, choose_device(settings.runtime))
    run = StreamRun(stream, connect, settings, _ShotEvents(stream), shot_network=network)
    return _shots(run)


def _shots(run: StreamRun) -> Generator[Shot]:
    with closing(run.events()) as events:
        for event in events:
            if isinstance(event, Shot):
                yield event


def _connector(location: Location, settings: Settings) -> tuple[Source, Callable[[], Source]]:
    """Find the source of a location; bad paths are refused here, before anything is loaded."""
    if not isinstance(location, str | PathLike):
        source: Source = ObjectSource(location)
        return source, _Once(source)
    path = str(location)
    first = open_source(path, settings.source)
    return first, SourceFactory(path, settings.source, first)


class _Once:
    """Give a source for the only connection that it can serve."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __call__(self) -> Source:
        return self._source


def _name(source: Source, location: Location) -> str:
    named = str(location) if isinstance(location, str | PathLike) else source.name
    return default_stream_name(named)
