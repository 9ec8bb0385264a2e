"""Segment frames and samples that the caller has decoded already."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from streamer.pipeline.embedder import PARALLEL_NETWORKS, ShotEmbedder
from streamer.pipeline.epoch import EpochRun
from streamer.pipeline.progress import Counts, StageTimes
from streamer.shots.base import ShotOptions
from streamer.timeline import Picture, Sound, Timestamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from streamer.config.settings import Settings
    from streamer.events.payload import EventData
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.epoch import Step
    from streamer.timeline import StreamInfo


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
        self._latest: dict[type[Picture | Sound], Timestamp] = {}
        self._closed = False

    def push_video(
        self, frame: NDArray[np.uint8], pts: int, time_base: Fraction = Fraction(1, 1000)
    ) -> list[EventData]:
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
    ) -> list[EventData]:
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

    def close(self) -> list[EventData]:
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
    ) -> Timestamp:
        if self._closed:
            raise ValueError("the stream was closed")
        if not expected:
            raise ValueError("the stream was made without this kind of input")
        base = Fraction(time_base)
        if base <= 0:
            raise ValueError(f"a time base of {base} is not positive")
        start, before = Timestamp(int(pts), base), self._latest.get(kind)
        if before is not None and start <= before:
            raise ValueError(
                f"{float(start.seconds):.6f} s came after {float(before.seconds):.6f} s"
            )
        self._latest[kind] = start
        return start

    def _take(self, item: Picture | Sound) -> list[EventData]:
        return _events_of(self._run.take(item))


def _events_of(steps: Iterator[Step]) -> list[EventData]:
    return [event for step in steps for event in step.events]
