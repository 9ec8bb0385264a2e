"""Many streams with many faults for hours of media, and what became of memory and files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from streamer.aspects.batching import BatchPolicy, SharedExtractors
from streamer.config.sections import (
    OutputSection,
    ReconnectSection,
    SegmentSection,
    ServeSection,
    SourceSection,
    StreamSection,
)
from streamer.config.settings import Settings
from streamer.config.streams import StreamEntry
from streamer.metrics.metrics import Metrics
from streamer.serve.host import ServeContext
from streamer.serve.service import Service
from tests.soak.verdict import Verdict, judge
from tests.streamer.live.engine import toy_engine

SAMPLE_SECONDS = 2.0
SETTINGS = Settings(
    source=SourceSection(open_seconds=2.0, stall_seconds=1.5),
    output=OutputSection(emit=("boundaries", "shots", "scenes")),
    segment=SegmentSection(threshold=0.0),
    reconnect=ReconnectSection(first_wait_seconds=0.05, max_wait_seconds=0.2),
    stream=StreamSection(epoch=0),
    serve=ServeSection(max_streams=64),
)


@dataclass(frozen=True)
class Sample:
    """The process at one moment.

    Attributes:
        wall: Seconds since the beginning.
        media: Seconds of media processed, all streams together.
        resident: Bytes.
        files: Open descriptors.
        threads: Threads.
        blocks: Of Python's allocator, in use.
    """

    wall: float
    media: float
    resident: int
    files: int
    threads: int
    blocks: int


@dataclass(frozen=True)
class Soaked:
    """A finished run.

    Attributes:
        verdict: Events held against what was sent.
        samples: In order.
        wall: Seconds it took.
        states: How streams stood at the end.
        largest_state: Bytes of the largest state on disk.
        internal: Errors that nobody foresaw.
    """

    verdict: Verdict
    samples: list[Sample]
    wall: float
    states: Mapping[str, str]
    largest_state: int
    internal: list[str]


def soak(
    folder: Path,
    *,
    streams: int,
    seconds: float,
    seed: int,
    limit: float,
    until: float | None = None,
    told: Callable[[Sample], None] = lambda _: None,
) -> Soaked:
    """Runs every stream to the end of its media.

    Args:
        folder: For events and states.
        streams: How many.
        seconds: Of media for each stream.
        seed: Of the faults.
        limit: Wall seconds after which to stop whatever is left.
        until: Wall seconds after which every stream ends with its programme, however much it had.
        told: Hears of every sample.
    """
    engine = toy_engine()
    sent: list[dict[str, Any]] = []
    command = [sys.executable, "-m", "tests.soak.sender", "--streams", str(streams)]
    command += ["--seconds", str(seconds), "--seed", str(seed)]
    command += [] if until is None else ["--until", str(until)]
    samples: list[Sample] = []
    said: deque[tuple[str, str]] = deque(maxlen=100_000)
    began = time.monotonic()
    with ExitStack() as stack:
        sender = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(sender.kill)
        assert sender.stdout is not None
        port = json.loads(sender.stdout.readline())["port"]
        reader = threading.Thread(target=_collect, args=(sender.stdout, sent), daemon=True)
        reader.start()
        shared = stack.enter_context(
            SharedExtractors(engine.extractors, BatchPolicy(8, 0.0), at_once=2)
        )
        context = ServeContext(
            SETTINGS, Metrics(), folder / "state", lambda name, line: said.append((name, line))
        )
        service = Service(engine, shared, context)
        names = [f"s{number}" for number in range(streams)]
        events = {name: folder / f"{name}.jsonl" for name in names}
        service.start(
            StreamEntry(
                name=name,
                source=SecretStr(f"http://127.0.0.1:{port}/{name}"),
                sinks=(str(events[name]),),
            )
            for name in names
        )
        # The last connection of a stream is one that everything was sent on and that then hangs;
        # the stream is at its end when it has given that one up.
        done: set[str] = set()
        while time.monotonic() - began < limit:
            time.sleep(SAMPLE_SECONDS)
            samples.append(_sample(began, service))
            told(samples[-1])
            done = {each["stream"] for each in list(sent) if each["ended"] == "done"}
            moving = any(host.status.state == "running" for host in service.hosts.values())
            if len(done) == streams and not moving:
                break
        states = {name: host.status.state for name, host in service.hosts.items()}
        largest = max(path.stat().st_size for path in (folder / "state").glob("*.state"))
        for name in names:
            service.delete(name)
        assert sender.stdin is not None
        sender.stdin.close()
        sender.wait(30)
        reader.join(30)
    every = [json.loads(line) for path in events.values() for line in path.read_text().splitlines()]
    internal = [f"{name}: {line}" for name, line in said if "internal" in line]
    return Soaked(judge(sent, every), samples, time.monotonic() - began, states, largest, internal)


def _collect(lines: Any, sent: list[dict[str, Any]]) -> None:
    for line in lines:
        told = json.loads(line)
        if "stream" in told:
            sent.append(told)


def _sample(began: float, service: Service) -> Sample:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    media = sum(float(h.status.progress.position) for h in service.hosts.values())
    return Sample(
        wall=time.monotonic() - began,
        media=media,
        resident=pages * os.sysconf("SC_PAGE_SIZE"),
        files=len(os.listdir("/proc/self/fd")),  # noqa: PTH208 -- names are enough
        threads=threading.active_count(),
        # A list of all objects would hold those that other threads are only just making.
        blocks=sys.getallocatedblocks(),
    )
