"""The public interface, as a program would use it."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import subprocess
import sys
import threading
import time
from collections import deque
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import torch

import streamer
from streamer.api import Model
from tests.media import Clip, Recipe, frames_of, still, texture, write_film
from tests.models.toy import DIMS
from tests.streamer.live.engine import toy_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PUBLIC = [
    "Behind",
    "Boundary",
    "CheckpointError",
    "ConfigError",
    "DeviceError",
    "Disconnected",
    "Event",
    "ExpertVote",
    "ExtractionError",
    "Gap",
    "Model",
    "Opened",
    "Progress",
    "Push",
    "Reconnect",
    "Scene",
    "Segmenter",
    "Shot",
    "SourceError",
    "StreamerError",
    "Timestamp",
    "WeightsError",
    "detect_shots",
    "load",
    "segment",
]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(toy_engine())


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Every test ends the threads, files and connections that it began."""
    process = psutil.Process()
    threads = set(threading.enumerate())
    files = {file.path for file in process.open_files()}
    connections = set(process.net_connections())
    yield
    deadline = time.monotonic() + 10.0
    while (left := [t for t in threading.enumerate() if t not in threads and not _pool(t)]) and (
        time.monotonic() < deadline
    ):
        left[0].join(0.1)
    assert left == []
    assert {file.path for file in process.open_files()} - files == set()
    assert set(process.net_connections()) - connections == set()


def _pool(thread: threading.Thread) -> bool:
    """Threads of asyncio's and torch's pools stay for the next user."""
    return thread.name.startswith(("asyncio_", "ThreadPoolExecutor"))


def test_the_public_names_are_these() -> None:
    assert sorted(streamer.__all__) == PUBLIC
    assert {name for name in PUBLIC if getattr(streamer, name, None) is None} == set()
    assert set(PUBLIC) <= set(dir(streamer))
    with pytest.raises(AttributeError, match="nothing"):
        _ = streamer.nothing  # type: ignore[attr-defined]


def test_importing_is_cheap() -> None:
    code = (
        "import sys, time; began = time.perf_counter(); import streamer;"
        "print(time.perf_counter() - began, *{'torch', 'av', 'numpy', 'pydantic'} & {*sys.modules})"
    )
    best = min(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(3)
    )
    seconds, *heavy = best.split()
    assert float(seconds) < 0.1
    assert heavy == []


def test_shots_need_no_torch(known_film: Path) -> None:
    code = (
        "import sys, streamer; print(len(list(streamer.detect_shots(sys.argv[1]))),"
        "'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(known_film)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["4", "False"]


def test_shots_are_found_where_they_are(known_film: Path) -> None:
    shots = list(streamer.detect_shots(known_film))
    assert [shot.seconds for shot in shots] == [0.0, 1.6, 3.0, 4.8]
    assert all(one.end == two.at for one, two in pairwise(shots))
    assert [shot.stream for shot in shots] == ["film"] * 4
    assert [shot.ended_by for shot in shots] == ["cut", "cut", "cut", "end"]


def test_segmenting_yields_frozen_dataclasses_in_order(model: Model, known_film: Path) -> None:
    events = list(streamer.segment(known_film, model=model, threshold=0.0))
    kinds = [type(event).__name__ for event in events]
    assert kinds.count("Shot") == kinds.count("Scene") == 4
    assert kinds.count("Boundary") == 3
    assert "Progress" in kinds
    assert "Opened" in kinds
    assert set(kinds) <= {"Shot", "Scene", "Boundary", "Progress", "Opened"}
    boundaries = [event for event in events if isinstance(event, streamer.Boundary)]
    assert [boundary.seconds for boundary in boundaries] == [1.6, 3.0, 4.8]
    assert boundaries[0].at.seconds == Fraction(8, 5)
    for event in events:
        assert dataclasses.is_dataclass(event)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(event, dataclasses.fields(event)[0].name, 1)


def test_a_file_object_is_read_and_left_open(model: Model, known_film: Path) -> None:
    by_path = [e.seconds for e in streamer.segment(known_film, model=model, threshold=0.0)
               if isinstance(e, streamer.Boundary)]  # fmt: skip
    with known_film.open("rb") as file:
        events = list(streamer.segment(file, model=model, threshold=0.0))
        assert not file.closed
    assert [e.seconds for e in events if isinstance(e, streamer.Boundary)] == by_path
    assert {e.stream for e in events if isinstance(e, streamer.Shot)} == {"film"}
    shots = list(streamer.detect_shots(io.BytesIO(known_film.read_bytes()), name="memory"))
    assert [shot.stream for shot in shots] == ["memory"] * 4


def test_a_file_object_that_fails_is_one_error(known_film: Path) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 20_000:
                raise OSError("the disk is gone")
            return super().read(size)

    with pytest.raises(streamer.SourceError, match="the disk is gone"):
        list(streamer.detect_shots(Failing(known_film.read_bytes())))
    with pytest.raises(streamer.SourceError, match="open it with 'rb'"):
        list(streamer.detect_shots(io.StringIO("text")))  # type: ignore[arg-type]


@pytest.mark.parametrize("events", [1, 3, 8])
def test_breaking_off_ends_everything(model: Model, known_film: Path, events: int) -> None:
    for number, _ in enumerate(streamer.segment(known_film, model=model), start=1):
        if number == events:
            break


def test_an_exception_in_the_loop_ends_everything(model: Model, known_film: Path) -> None:
    def fail(event: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        deque(map(fail, streamer.segment(known_film, model=model)))


def test_closing_the_generator_ends_everything(model: Model, known_film: Path) -> None:
    events = streamer.segment(known_film, model=model)
    next(events)
    events.close()
    with pytest.raises(StopIteration):
        next(events)


def test_leaving_the_segmenter_ends_its_streams(model: Model, known_film: Path) -> None:
    with streamer.Segmenter(model, realtime=True) as segmenter:
        events = segmenter.stream(known_film)
        next(events)
        began = time.monotonic()
        segmenter.close()
        list(events)
    assert time.monotonic() - began < 3.0
    with pytest.raises(ValueError, match="closed"):
        next(segmenter.stream(known_film))


def test_one_model_serves_many_threads(model: Model, known_film: Path) -> None:
    found: list[list[float]] = []

    def run() -> None:
        events = streamer.segment(known_film, model=model, threshold=0.0)
        found.append([e.score for e in events if isinstance(e, streamer.Boundary)])

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(scores == pytest.approx(found[0], abs=1e-5) for scores in found)


def test_async_gives_the_same_and_leaves_the_loop_free(model: Model, known_film: Path) -> None:
    async def run() -> tuple[list[float], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0)
                ticks += 1

        ticking = asyncio.create_task(tick())
        segmenter = streamer.Segmenter(model, threshold=0.0)
        found = [
            event.seconds
            async for event in segmenter.astream(known_film)
            if isinstance(event, streamer.Boundary)
        ]
        ticking.cancel()
        return found, ticks

    found, ticks = asyncio.run(run())
    assert found == [1.6, 3.0, 4.8]
    assert ticks > 10


def test_cancelling_the_task_ends_everything(model: Model, known_film: Path) -> None:
    async def run() -> None:
        segmenter = streamer.Segmenter(model, realtime=True)

        async def watch(first: asyncio.Event) -> None:
            async for _ in segmenter.astream(known_film):
                first.set()

        first = asyncio.Event()
        task = asyncio.create_task(watch(first))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    began = time.monotonic()
    asyncio.run(run())
    assert time.monotonic() - began < 4.0


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("missing.mp4", "SourceNotFound"),
        (".", "SourceIsFolder"),
        ("gopher://example.org/film", "SourceUnsupported"),
    ],
)
def test_a_bad_location_is_refused_at_once(model: Model, location: str, error: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: streamer.segment(location, model=model),
        lambda: streamer.detect_shots(location),
    ]
    for call in calls:
        with pytest.raises(streamer.SourceError) as caught:
            call()
        assert type(caught.value).__name__ == error
        assert "\n" not in str(caught.value)


def test_unknown_options_are_named(model: Model) -> None:
    with pytest.raises(streamer.ConfigError, match=r"shots\.max_secnds.*shots\.max_seconds"):
        streamer.Segmenter(model, options={"shots.max_secnds": 3})
    with pytest.raises(streamer.ConfigError, match="threshold"):
        streamer.Segmenter(model, threshold=1.5)
    with pytest.raises(streamer.CheckpointError):
        streamer.load("no-such-file.safetensors")
    with pytest.raises((streamer.DeviceError, streamer.ConfigError)):
        streamer.load(device="abacus")


def test_scores_are_those_of_a_stream(model: Model) -> None:
    generator = torch.Generator().manual_seed(1)
    shots = [
        {name: torch.randn(2, dim, generator=generator) for name, dim in DIMS.items()}
        for _ in range(9)
    ]
    scores = model.score(shots)
    assert scores.shape == (8,)
    assert scores.dtype == torch.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    # The future beyond the look-ahead changes nothing.
    late = model.score(shots[:6])
    known = len(late) - 2 - model.lookahead
    assert torch.equal(scores[:known], late[:known])
    assert model.score(shots[:1]).shape == (0,)
    wrong = {name: torch.zeros(1, 3) for name in DIMS}
    with pytest.raises(streamer.CheckpointError):
        model.score([wrong, wrong])


SIZE = 160, 96


@pytest.fixture(scope="module")
def pushed_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shots without loss: what a decoder gives is what went in."""
    path = tmp_path_factory.mktemp("push") / "film.mkv"
    clips = [Clip(still(texture(seed, *SIZE)), 30) for seed in range(4)]
    write_film(path, frames_of(clips, Fraction(25)), Recipe(rate=Fraction(25), codec="ffv1"))
    return path


def test_pushed_frames_give_the_events_of_a_file(model: Model, pushed_film: Path) -> None:
    import av

    segmenter = streamer.Segmenter(model, threshold=0.0)
    wanted = [
        event
        for event in segmenter.stream(pushed_film)
        if isinstance(event, streamer.Boundary | streamer.Shot)
    ]
    push = segmenter.push(name="film", frame_rate=Fraction(25), audio=False)
    got: list[streamer.Event] = []
    with av.open(str(pushed_film)) as container:
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            picture: Any = frame.to_ndarray(format="rgb24")
            got += push.push_video(picture, frame.pts, frame.time_base)
    got += push.close()
    assert push.close() == []
    found = [event for event in got if isinstance(event, streamer.Boundary | streamer.Shot)]
    assert [(type(e), e.at, e.timecode) for e in found] == [
        (type(e), e.at, e.timecode) for e in wanted
    ]


def test_pushed_audio_alone_is_split_into_windows(model: Model) -> None:
    push = streamer.Segmenter(model).push(video=False)
    rng = np.random.default_rng(0)
    events: list[streamer.Event] = []
    for block in range(200):
        samples = rng.uniform(-0.1, 0.1, (6, 800)).astype(np.float32)
        events += push.push_audio(samples, block * 800, sample_rate=16_000)
    events += push.close()
    shots = [event for event in events if isinstance(event, streamer.Shot)]
    assert [(shot.seconds, shot.end_seconds) for shot in shots] == [
        (0.0, 4.0),
        (4.0, 8.0),
        (8.0, 10.0),
    ]


def test_what_may_not_be_pushed(model: Model) -> None:
    segmenter = streamer.Segmenter(model)
    push = segmenter.push(audio=False)
    frame = np.zeros((36, 64, 3), np.uint8)
    push.push_video(frame, 0, Fraction(1, 25))
    push.push_video(np.zeros((72, 128), np.uint8), 1, Fraction(1, 25))
    wrongs: tuple[Any, ...] = (frame.astype(float), frame[..., :2], frame[:0])
    for wrong in wrongs:
        with pytest.raises(ValueError, match="frame"):
            push.push_video(wrong, 2, Fraction(1, 25))
    with pytest.raises(ValueError, match="came after"):
        push.push_video(frame, 1, Fraction(1, 25))
    with pytest.raises(ValueError, match="time base"):
        push.push_video(frame, 5, Fraction(0))
    with pytest.raises(ValueError, match="without this kind"):
        push.push_audio(np.zeros(100, np.float32), 0, sample_rate=8000)
    push.close()
    with pytest.raises(ValueError, match="closed"):
        push.push_video(frame, 9, Fraction(1, 25))
    with pytest.raises(ValueError, match="video, audio or both"):
        segmenter.push(video=False, audio=False)
    heard = segmenter.push(video=False)
    bads: tuple[Any, ...] = (np.zeros((2, 0)), np.zeros(8, np.int16), np.full(8, np.nan))
    for bad in bads:
        with pytest.raises(ValueError, match="audio"):
            heard.push_audio(bad, 0, sample_rate=8000)
    with pytest.raises(ValueError, match="sample rate"):
        heard.push_audio(np.zeros(8, np.float32), 0, sample_rate=0)
    assert heard.close() == []
