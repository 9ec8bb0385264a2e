"""What passes by itself ends no stream, and a change that is refused changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from streamer.config.sections import KafkaSection, ReconnectSection
from streamer.connectors.kafka.message import from_record
from streamer.connectors.sinks import jsonl
from streamer.connectors.sinks.leftovers import leftovers
from streamer.errors import SinkError
from streamer.live.delivery import deliver
from streamer.live.state import StateFile
from streamer.pipeline.progress import Counts, ResumeState, SavePoint
from streamer.serve import host, service
from streamer.serve.guard import CrashGuard
from streamer.serve.service import Busy
from tests.acceptance.films import pictures
from tests.kafka import Broker, free_port
from tests.media import Recipe, write_film
from tests.streamer.live.engine import Collected, Projection
from tests.streamer.serve.test_service import SETTINGS, entry, events, serving
from tests.waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from streamer.config.streams import StreamEntry
    from streamer.pipeline.engine import Engine

WHOLE = list(range(12))


def beside(path: Path) -> Path:
    """Where a file is written before it takes the place of the old one."""
    return path.with_name(f".{path.name}.new")


@contextlib.contextmanager
def in_the_way(path: Path) -> Iterator[None]:
    """Nothing can be written there, as on a full disk."""
    folder = beside(path)
    folder.parent.mkdir(exist_ok=True)

    def made() -> bool:
        try:
            folder.mkdir()
        except FileExistsError:
            return False
        return True

    until(made, lambda: f"{folder} is always there")
    try:
        yield
    finally:
        folder.rmdir()


def shots(path: Path) -> list[int]:
    """Indices of shots, those that came twice once."""
    every = [one["data"] for one in events(path) if one["type"].endswith(".shot.v1")]
    return list(dict.fromkeys(one["shot_index"] for one in every))


def test_a_state_that_cannot_be_written_for_a_while_ends_no_stream(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    state, out = tmp_path / "state", tmp_path / "a.jsonl"
    path = StateFile(state, "a").path
    with in_the_way(path), serving(engine, state, [entry("a", film, out)]) as running:
        assert "cannot be written" in running.wait("a", "failed")["last_error"]["message"]
        assert events(out) == []
        beside(path).rmdir()
        running.wait("a", "ended")
        beside(path).mkdir()
    assert shots(out) == WHOLE


def test_a_disk_that_fills_up_on_the_way_is_waited_for(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    state, out = tmp_path / "state", tmp_path / "a.jsonl"
    with serving(engine, state, [entry("a", film, out, realtime=True)]) as running:
        until(lambda: len(shots(out)) > 1, lambda: "no shots")
        with in_the_way(StateFile(state, "a").path):
            running.wait("a", "failed")
            seen = len(events(out))
            # Tried again and again, and nothing is sent that could not be remembered.
            said = len(running.said)
            until(lambda: len(running.said) > said + 3, lambda: "it is not tried again")
            assert len(events(out)) == seen
        assert (
            running.ask("PUT", "/streams/a", {"source": str(film), "sinks": [str(out)]})[0] == 200
        )
        running.wait("a", "ended")
    assert shots(out) == WHOLE


def test_a_change_that_cannot_be_kept_changes_nothing(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    state, out = tmp_path / "state", tmp_path / "a.jsonl"
    body = {"source": str(film), "sinks": [str(out)], "threshold": 0.5}
    with serving(engine, state, [entry("a", film, out, realtime=True)]) as running:
        before = running.service.hosts["a"]
        with in_the_way(state / "streams.json"):
            for method, sent in (("PUT", body), ("DELETE", None)):
                status, answer = running.ask(method, "/streams/a", sent)
                assert status == 503
                assert "streams.json: cannot be written" in answer["error"]
            assert running.ask("PUT", "/streams/b", body)[0] == 503
        assert running.service.hosts == {"a": before}
        running.wait("a", "starting", "running")
        assert running.ask("PUT", "/streams/a", body)[0] == 200
        running.wait("a", "ended")
    assert shots(out) == WHOLE


@dataclass
class Gated(Projection):
    """A network that hangs until somebody opens the gate."""

    gate: threading.Event = field(default_factory=threading.Event)
    hangs: threading.Event = field(default_factory=threading.Event)

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        self.hangs.set()
        assert self.gate.wait(60)
        return super().embed(pieces)


@pytest.fixture
def gated(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Gated:
    monkeypatch.setattr(service, "STOP_SECONDS", 1.0)
    (first,) = (each for each in engine.extractors if each.aspect == "place")
    assert isinstance(first, Projection)
    return Gated(first.aspect, first.dim, first.kind, first.input)


def hanging(engine: Engine, gated: Gated) -> Engine:
    others = [each for each in engine.extractors if each.aspect != gated.aspect]
    return replace(engine, extractors=(gated, *others))


def test_a_stream_that_does_not_end_in_time_goes_on_as_it_was(
    engine: Engine, film: Path, tmp_path: Path, gated: Gated
) -> None:
    state, out = tmp_path / "state", tmp_path / "a.jsonl"
    body = {"source": str(film), "sinks": [str(out)], "threshold": 0.5}
    old = entry("a", film, out)
    with serving(hanging(engine, gated), state, [old]) as running:
        assert gated.hangs.wait(60)
        for method, sent in (("PUT", body), ("DELETE", None)):
            status, answer = running.ask(method, "/streams/a", sent)
            assert status == 503
            assert "does not end" in answer["error"]
        changed = old.model_copy(update={"threshold": 0.7})
        new = entry("b", tmp_path / "none.ts", tmp_path / "b.jsonl")
        with pytest.raises(Busy, match="a does not end"):
            running.service.reload([changed, new])
        # One that does not end is in no other's way.
        running.wait("b", "reconnecting")
        gated.gate.set()
        shown = running.wait("a", "ended")
        assert shown["threshold"] == 0.0
        running.service.reload([changed])
        assert running.wait("a", "ended")["threshold"] == 0.7
    assert shots(out) == WHOLE


def test_what_was_refused_does_not_come_back_with_a_restart(
    engine: Engine, film: Path, tmp_path: Path, gated: Gated
) -> None:
    state, old = tmp_path / "state", entry("a", film, tmp_path / "a.jsonl")
    body = {"source": str(film), "sinks": [str(tmp_path / "a.jsonl")], "threshold": 0.5}
    with serving(hanging(engine, gated), state, [old]) as running:
        assert gated.hangs.wait(60)
        assert running.ask("PUT", "/streams/a", body)[0] == 503
        assert running.ask("DELETE", "/streams/a")[0] == 503
        gated.gate.set()
    with serving(engine, state, [old]) as running:
        assert running.wait("a", "ended")["threshold"] == 0.0


def brokered(folder: Path, **more: Any) -> KafkaSection:
    return KafkaSection(
        spool=folder / "spool", start_without_broker=True, connect_seconds=1.0, **more
    )


def test_without_a_broker_streams_are_changed_and_stopped_at_once(
    engine: Engine, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "DELIVER_SECONDS", 1.0)
    settings = SETTINGS.model_copy(update={"kafka": brokered(tmp_path)})
    url = f"kafka://127.0.0.1:{free_port()}/scenes"
    body = {"source": str(film), "sinks": [url], "realtime": True}
    with serving(engine, tmp_path / "state", [], settings=settings) as running:
        assert running.ask("PUT", "/streams/a", body)[0] == 201
        until(
            lambda: running.ask("GET", "/streams/a")[1]["shots"] > 2,
            lambda: "no shots",
        )
        began = time.monotonic()
        assert running.ask("PUT", "/streams/a", body | {"threshold": 0.5})[0] == 200
        running.wait("a", "running")
        assert running.ask("DELETE", "/streams/a")[0] == 204
        assert time.monotonic() - began < settings.kafka.flush_seconds / 2
        (left,) = leftovers(tmp_path / "spool")
        assert left.events > 2
        assert any(f"{left.events} events wait" in line for _, line in running.said)
        assert running.ask("PUT", "/streams/b", body)[0] == 201
        running.wait("b", "running")
        began = time.monotonic()
    assert time.monotonic() - began < settings.kafka.flush_seconds / 2


def test_nothing_is_lost_when_a_stream_is_changed_while_the_broker_is_away(
    engine: Engine, film: Path, tmp_path: Path, broker: Broker
) -> None:
    kafka = brokered(tmp_path, flush_seconds=2.0)
    settings = SETTINGS.model_copy(update={"kafka": kafka})
    topic = broker.topic()
    body = {"source": str(film), "sinks": [f"kafka://{broker.address}/{topic}"], "realtime": True}

    with serving(engine, tmp_path / "state", [], settings=settings) as running:

        def delivered() -> float:
            labels = {"stream": "a"}
            name = "streamer_sink_delivered_total"
            return running.metrics.registry.get_sample_value(name, labels) or 0.0

        assert running.ask("PUT", "/streams/a", body)[0] == 201
        until(lambda: delivered() > 2, lambda: "nothing was delivered")
        broker.stop()
        try:
            before = delivered()
            for threshold in (0.1, 0.0):
                assert running.ask("PUT", "/streams/a", body | {"threshold": threshold})[0] == 200
                assert delivered() >= before
            # The film ends while nobody takes its events: they are not given up.
            running.wait("a", "failed")
        finally:
            broker.again()
        running.wait("a", "ended")
        spooled = running.metrics.registry.get_sample_value(
            "streamer_spool_events", {"stream": "a"}
        )
        assert spooled == 0
        count = int(delivered())
    records = broker.read(topic, count)
    found = [from_record(record.headers(), record.value()) for record in records]
    told = [one.get_data() for one in found if str(one.get_type()).endswith(".shot.v1")]
    assert {one["shot_index"] for one in told if isinstance(one, dict)} == set(WHOLE)


def test_a_pipe_without_a_reader_waits_for_one_and_can_be_deleted(
    engine: Engine, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "READER_SECONDS", 0.3)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    streams = [entry("a", film, pipe)]
    with serving(engine, tmp_path / "state", streams) as running:
        assert "nobody reads" in running.wait("a", "failed")["last_error"]["message"]
        with pipe.open("rb") as reader:
            lines = [reader.readline() for _ in range(12 + 11 + 12)]
        running.wait("a", "ended")
        assert len(set(lines)) == 12 + 11 + 12
    monkeypatch.setattr(jsonl, "READER_SECONDS", 60.0)
    with serving(engine, tmp_path / "again", streams) as running:
        began = time.monotonic()
        assert running.ask("DELETE", "/streams/a")[0] == 204
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("both", [False, True])
def test_a_damaged_state_is_put_aside_and_the_stream_continues_as_after_a_loss(
    engine: Engine, film: Path, tmp_path: Path, both: bool
) -> None:
    state, out = tmp_path / "state", tmp_path / "a.jsonl"
    one = entry("a", film, out)
    with serving(engine, state, [one]) as running:
        running.wait("a", "ended")
    before = events(out)
    file = StateFile(state, "a")
    broken = bytearray(file.path.read_bytes())
    broken[len(broken) // 2] ^= 1
    file.path.write_bytes(broken)
    if both:
        file.epoch_path.write_bytes(b"")
    began = time.time()
    with serving(engine, state, [one]) as running:
        shown = running.wait("a", "ended")
        assert shown["last_error"]["kind"] == "StateDamaged"
        (said,) = [line for _, line in running.said if str(file.path) in line]
        assert "its checksum does not match" in said
        counted = running.metrics.registry.get_sample_value(
            "streamer_errors_total", {"error": "StateDamaged"}
        )
        assert counted == 1
    after = events(out)[len(before) :]
    assert (state / f"{file.path.name}.damaged").read_bytes() == bytes(broken)
    assert {one["id"] for one in before} & {one["id"] for one in after} == set()
    assert after[0]["type"].endswith(".discontinuity.v1")
    assert after[0]["data"]["reason"] == "damaged"
    (epoch,) = {one["data"]["epoch"] for one in after}
    assert epoch >= began if both else epoch == 2
    told = [one["data"]["shot_index"] for one in after if one["type"].endswith(".shot.v1")]
    assert told == WHOLE
    # It is as good as new.
    with serving(engine, state, [one]) as running:
        running.wait("a", "ended")
    assert events(out) == before + after


def test_a_newer_state_ends_the_stream_and_stays(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    state, one = tmp_path / "state", entry("a", film, tmp_path / "a.jsonl")
    with serving(engine, state, [one]) as running:
        running.wait("a", "ended")
    path = StateFile(state, "a").path
    data = bytearray(path.read_bytes())
    data[6] += 1
    data[24:56] = hashlib.sha256(bytes(data[:24] + data[56:])).digest()
    path.write_bytes(data)
    with serving(engine, state, [one]) as running:
        shown = running.wait("a", "failed")
        assert shown["last_error"]["kind"] == "StateError"
        assert running.service.hosts["a"].join(10.0)
        assert len([line for _, line in running.said if str(path) in line]) == 1
    assert path.read_bytes() == bytes(data)


class Ordered(Collected):
    """Writes down what it is told; its disk may fail."""

    def __init__(self, log: list[str], *, fails: bool = False) -> None:
        super().__init__()
        self.log, self.fails = log, fails

    def sync(self) -> None:
        if self.fails:
            raise SinkError("the disk is broken")
        self.log.append("events")

    def save(self, point: SavePoint) -> None:
        self.log.append("state")


def test_events_are_on_the_disk_before_the_state_that_says_so() -> None:
    log: list[str] = []
    good, bad = Ordered(log), Ordered(log, fails=True)

    def points(count: int) -> Generator[SavePoint, None, None]:
        for _ in range(count):
            yield SavePoint(Counts(), ResumeState(0), True)

    deliver(points(2), [Collected(), good, good], store=good)
    assert log == ["events", "events", "state"] * 2
    with pytest.raises(SinkError):
        deliver(points(1), [good, bad], store=good)
    assert log == [*["events", "events", "state"] * 2, "events"]


def told(path: Path) -> list[str]:
    return [str(event["type"]).rsplit(".", 2)[-2] for event in events(path)]


def stopped_on_the_way(
    engine: Engine, state: Path, one: StreamEntry, out: Path, shots: int = 3
) -> None:
    """Leaves a state with an open scene and boundaries that wait for more shots."""
    with serving(engine, state, [one]) as running:
        until(lambda: told(out).count("shot") >= shots, lambda: str(told(out)))
        assert running.service.stop() == ()
    assert told(out).count("scene") < told(out).count("shot")


def test_deleting_a_failed_stream_sends_its_last_scene_and_what_is_not_decided(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "a.ts", tmp_path / "a.jsonl"
    source.write_bytes(film.read_bytes())
    one = entry("a", source, out, realtime=True)
    stopped_on_the_way(engine, tmp_path / "state", one, out)
    source.write_bytes(b"no film at all" * 1000)
    with serving(engine, tmp_path / "state", [one]) as running:
        assert running.wait("a", "failed")["last_error"]["kind"] == "NotMedia"
        assert running.service.hosts["a"].join(10.0)
        before = told(out)
        assert running.ask("DELETE", "/streams/a") == (204, None)
        after = told(out)
        shots = before.count("shot")
        # The threshold is 0: each boundary ends a scene.
        assert before.count("boundary") < shots - 1
        assert after.count("shot") == shots
        assert after.count("boundary") == shots - 1
        assert after.count("scene") == shots
        ids = [event["id"] for event in events(out)]
        assert len(ids) == len(set(ids))
        assert events(out)[-1]["data"]["ended_by"] == "end"
        assert running.ask("GET", "/streams/a")[0] == 404
    assert not StateFile(tmp_path / "state", "a").path.exists()


def test_deleting_a_stream_that_waits_to_be_tried_again_sends_its_last_scene(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "a.jsonl"
    one = entry("a", film, out, realtime=True)
    stopped_on_the_way(engine, tmp_path / "state", one, out)
    folder.rename(tmp_path / "away")
    settings = SETTINGS.model_copy(
        update={"reconnect": ReconnectSection(first_wait_seconds=600.0, max_wait_seconds=600.0)}
    )
    with serving(engine, tmp_path / "state", [one], settings=settings) as running:
        assert running.wait("a", "failed")["last_error"]["kind"] == "SinkError"
        (tmp_path / "away").rename(folder)
        shots = told(out).count("shot")
        assert running.ask("DELETE", "/streams/a") == (204, None)
    assert told(out).count("scene") == shots
    assert told(out).count("boundary") == shots - 1


def test_deleting_a_failed_stream_that_cannot_send_says_so(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "a.jsonl"
    one = entry("a", film, out, realtime=True)
    stopped_on_the_way(engine, tmp_path / "state", one, out)
    folder.rename(tmp_path / "away")
    with serving(engine, tmp_path / "state", [one]) as running:
        running.wait("a", "failed")
        assert running.ask("DELETE", "/streams/a") == (204, None)
        assert any("its last scene were not sent" in line for _, line in running.said)
        assert running.ask("GET", "/streams/a")[0] == 404


def test_deleting_a_stream_that_is_held_back_sends_its_last_scene(
    engine: Engine, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "a.jsonl"
    one = entry("a", film, out, realtime=True)
    stopped_on_the_way(engine, tmp_path / "state", one, out)
    monkeypatch.setattr(CrashGuard, "held", lambda *_: "it ended the process twice")
    with serving(engine, tmp_path / "state", [one]) as running:
        assert running.wait("a", "failed")["last_error"]["kind"] == "held"
        shots = told(out).count("shot")
        assert running.ask("DELETE", "/streams/a") == (204, None)
    assert told(out).count("shot") == told(out).count("scene") == shots


def test_what_a_damaged_film_told_is_not_told_again_when_it_is_deleted(
    engine: Engine, tmp_path: Path
) -> None:
    source, out = tmp_path / "a.mkv", tmp_path / "a.jsonl"
    write_film(source, pictures(8, 30, 96, 64), Recipe(rate=Fraction(25)))
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    with serving(engine, tmp_path / "state", [entry("a", source, out)]) as running:
        assert running.wait("a", "failed")["last_error"]["kind"] == "SourceDamaged"
        before = told(out)
        assert before[-1] == "scene"
        assert running.ask("DELETE", "/streams/a") == (204, None)
    assert told(out) == before
