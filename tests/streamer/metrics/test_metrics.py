"""Names, labels, bounds, and series that go with their stream."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from streamer.errors import SinkError
from streamer.metrics.catalogue import CATALOGUE
from streamer.metrics.meter import Speed
from streamer.metrics.metrics import Metrics

ROOT = Path(__file__).parents[3]


@dataclass
class State:
    """A sink's numbers."""

    delivered: int = 5
    waiting: int = 2
    waiting_bytes: int = 700
    dropped: int = 1
    refused: int = 0
    stalled: bool = True


def values(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def of(metrics: Metrics, name: str, **labels: str) -> float | None:
    return values(metrics).get((name, tuple(sorted(labels.items()))))


def exercised() -> Metrics:
    metrics = Metrics()
    stream = metrics.stream("channel-4")
    stream.shot()
    stream.scene()
    stream.boundary(2)
    stream.media(12.5)
    stream.up(True)
    stream.epoch(3)
    stream.realtime(1.5)
    stream.lag(0.25)
    stream.drift(-0.1)
    stream.thinning(2)
    stream.latency(0.2)
    stream.reconnected()
    stream.discontinuity("gap")
    stream.skipped("place", 3)
    stream.fault("picture", 2)
    with stream.stage("aspects"):
        pass
    metrics.watch_sink("channel-4", "kafka://a/b", State)
    metrics.error(SinkError("the disk is full"))
    metrics.batches.passed("place", 4, 0.01)
    fleet = metrics.fleet
    fleet.consumed("scenes.shots", 7)
    fleet.repeated("scenes.shots")
    fleet.lag("scenes.shots", 0, 12, 3.5)
    fleet.assigned("scenes.shots", 4)
    fleet.rebalanced()
    fleet.dead_letter("version")
    fleet.rebuilt("dimensions")
    return metrics


def test_every_metric_of_the_catalogue_is_exposed_under_its_name() -> None:
    found = {name for name, _ in values(exercised())}
    for each in CATALOGUE:
        name = f"{each.name}_count" if each.kind == "histogram" else each.name
        assert name in found, each.name
    own = {name for name in found if name.startswith("streamer_")}
    known = {each.name for each in CATALOGUE}
    assert {re.sub(r"_(count|sum|bucket)$", "", name) for name in own} <= known


def test_names_follow_the_conventions() -> None:
    for each in CATALOGUE:
        assert re.fullmatch(r"streamer_[a-z_]+", each.name)
        assert (each.kind == "counter") == each.name.endswith("_total")
        assert not re.search(r"_(ms|millis|minutes|kb|mb|percent)(_|$)", each.name)
        assert set(each.labels) <= {
            *("stream", "stage", "reason", "aspect", "topic", "partition", "error", "fault"),
            "version",
        }
    assert len({each.name for each in CATALOGUE}) == len(CATALOGUE)


def test_numbers_come_out_as_they_went_in() -> None:
    metrics = exercised()
    stream = {"stream": "channel-4"}
    assert of(metrics, "streamer_boundaries_total", **stream) == 2
    assert of(metrics, "streamer_media_seconds_total", **stream) == 12.5
    assert of(metrics, "streamer_lag_seconds", **stream) == 0.25
    assert of(metrics, "streamer_spool_bytes", **stream) == 700
    assert of(metrics, "streamer_sink_stalled", **stream) == 1
    assert of(metrics, "streamer_discontinuities_total", reason="gap", **stream) == 1
    assert of(metrics, "streamer_errors_total", error="SinkError") == 1
    assert of(metrics, "streamer_event_latency_seconds_bucket", le="0.25") == 1
    assert of(metrics, "streamer_event_latency_seconds_bucket", le="0.1") == 0
    assert of(metrics, "streamer_consumer_lag_seconds", topic="scenes.shots", partition="0") == 3.5
    assert of(metrics, "streamer_streams") == 1


def test_sinks_of_one_stream_add_up_and_one_that_fails_hides_nothing() -> None:
    metrics = Metrics()

    def closed() -> State:
        raise SinkError("the spool is closed")

    metrics.watch_sink("a", "one", State)
    metrics.watch_sink("a", "two", State)
    metrics.watch_sink("a", "three", closed)
    metrics.watch_sink("b", "one", closed)
    assert of(metrics, "streamer_spool_bytes", stream="a") == 1400
    assert of(metrics, "streamer_spool_bytes", stream="b") is None
    assert of(metrics, "streamer_shots_total", stream="b") == 0


def test_a_sink_that_is_opened_again_takes_the_place_of_the_old_one() -> None:
    metrics = Metrics()
    numbers = [State(delivered=3, waiting=4), State(delivered=1, waiting=5)]
    metrics.watch_sink("a", "one", lambda: numbers[0])
    metrics.watch_sink("a", "one", lambda: numbers[1])
    metrics.watch_sink("b", "one", State)
    assert of(metrics, "streamer_sink_delivered_total", stream="a") == 4
    assert of(metrics, "streamer_spool_events", stream="a") == 5
    numbers[0].delivered = 100
    assert of(metrics, "streamer_sink_delivered_total", stream="a") == 4
    # The stream has another sink: what waits for the old one is not the stream's any more.
    metrics.watch_sink("a", "two", lambda: State(delivered=10, waiting=0))
    metrics.keep_sinks("a", ["two"])
    assert of(metrics, "streamer_sink_delivered_total", stream="a") == 14
    assert of(metrics, "streamer_spool_events", stream="a") == 0
    metrics.keep_sinks("a", [])
    assert of(metrics, "streamer_sink_delivered_total", stream="a") == 14
    assert of(metrics, "streamer_spool_events", stream="a") is None
    metrics.remove("a")
    assert of(metrics, "streamer_sink_delivered_total", stream="a") is None
    assert of(metrics, "streamer_sink_delivered_total", stream="b") == 5


def test_sinks_of_streams_that_share_a_label_are_told_apart() -> None:
    metrics = Metrics(max_streams=1)
    metrics.stream("first")
    for name in ("a", "b"):
        metrics.watch_sink(name, "one", State)
    assert of(metrics, "streamer_spool_events", stream="other") == 4
    metrics.remove("a")
    assert of(metrics, "streamer_spool_events", stream="other") == 2
    assert of(metrics, "streamer_sink_delivered_total", stream="other") == 10


def test_a_stream_that_goes_takes_its_series_along_and_late_calls_bring_none_back() -> None:
    metrics = exercised()
    late = metrics.stream("channel-4")
    metrics.stream("other-one").shot()
    metrics.remove("channel-4")
    late.shot()
    late.discontinuity("gap")
    late.skipped("place")
    late.stage_seconds("decode", 1.0)
    assert not [labels for _, labels in values(metrics) if ("stream", "channel-4") in labels]
    assert of(metrics, "streamer_shots_total", stream="other-one") == 1
    metrics.stream("channel-4").shot()
    assert of(metrics, "streamer_shots_total", stream="channel-4") == 1


def test_an_address_never_becomes_a_label() -> None:
    metrics = Metrics()
    metrics.stream("rtsp://user:secret@camera/live?token=1").shot()
    metrics.watch_sink("rtsp://user:secret@camera/live?token=1", "one", State)
    text = generate_latest(metrics.registry).decode()
    assert "secret" not in text
    assert "camera" not in text
    assert of(metrics, "streamer_shots_total", stream="other") == 1


def test_the_number_of_series_is_bounded() -> None:
    metrics = Metrics(max_streams=20)
    for number in range(200):
        stream = metrics.stream(f"s{number}")
        stream.shot()
        stream.discontinuity(f"reason-{number}")
        metrics.stream("s0").discontinuity(f"reason-{number}")
        metrics.fleet.dead_letter(f"reason-{number}")
        metrics.fleet.consumed(f"topic-{number}")
    found = values(metrics)
    shots = {labels: value for (name, labels), value in found.items() if "shots" in name}
    assert len(shots) == 21
    assert shots[(("stream", "other"),)] == 180
    assert sum(1 for name, _ in found if name == "streamer_dead_letters_total") == 33
    assert sum(1 for name, _ in found if name == "streamer_consumer_records_total") == 17
    gaps = [dict(labels) for name, labels in found if "discontinuities" in name]
    assert sum(1 for each in gaps if each["stream"] == "s0") == 17


def test_a_revoked_partition_shows_no_lag() -> None:
    metrics = exercised()
    metrics.fleet.revoked("scenes.shots", 0)
    metrics.fleet.revoked("scenes.shots", 0)
    assert not [name for name, _ in values(metrics) if "consumer_lag" in name]


def test_counts_from_many_threads_are_exact() -> None:
    metrics = Metrics()

    def count() -> None:
        for _ in range(500):
            metrics.stream("a").shot()
            metrics.stream("a").stage_seconds("decode", 0.5)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert of(metrics, "streamer_shots_total", stream="a") == 2000
    assert of(metrics, "streamer_stage_seconds_total", stream="a", stage="decode") == 1000.0


def test_the_library_s_global_registry_stays_as_it_is() -> None:
    before = {family.name for family in REGISTRY.collect()}
    exercised()
    assert {family.name for family in REGISTRY.collect()} == before


def test_the_slowest_stage_is_named_waiting_for_input_aside() -> None:
    stream = Metrics().stream("a")
    assert stream.slowest() is None
    stream.stage_seconds("source", 100.0)
    stream.stage_seconds("decode", 1.0)
    stream.stage_seconds("aspects", 2.0)
    assert stream.slowest() == "aspects"


def test_speed_is_that_of_the_last_half_minute() -> None:
    now = 0.0
    speed = Speed(lambda: now)
    assert speed.at(Fraction(0)) is None
    for second in range(1, 61):
        now = float(second)
        ratio = speed.at(Fraction(2 * second))
    assert ratio == pytest.approx(2.0)
    for second in range(61, 101):
        now = float(second)
        ratio = speed.at(Fraction(120))
    assert ratio == 0.0


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "metrics.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(streamer_\w+)` \| ([^|]* \| [^|]*) \|", text, re.MULTILINE))
    assert set(rows) == {each.name for each in CATALOGUE}
    for each in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in each.labels)
        assert rows[each.name] == f"{each.kind} | {labels}"
