"""Whatever is skipped, repeated, lost or nonsense: the events are those of the shots."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from streamer.config.sections import SegmentSection
from streamer.errors import StateError
from streamer.fleet.counters import FleetCounters
from streamer.fleet.record import LogRecord, RecordRefused, ShotRecord, decode, encode
from streamer.fleet.window import Mixture, StreamWindow, saved_place
from streamer.metrics.metrics import Metrics
from tests import first_release
from tests.models.toy import toy_model
from tests.streamer.fleet.expectation import expected
from tests.streamer.fleet.shots import (
    MemoryLog,
    MemoryOut,
    epoch,
    laid_out,
    make_processor,
    marked,
    records,
    shot,
)

MODEL = marked(toy_model())
STREAMS = [records(f"s{n}", 10 * n, 9, epochs=2) for n in range(2)]
RAWS = laid_out(STREAMS)


WANTED = {event for stream in STREAMS for event in expected(stream)}


@pytest.mark.slow
@settings(max_examples=20, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.data())
def test_every_way_of_delivery_gives_the_same_events(data: st.DataObject) -> None:
    """Workers come and go, with or without a saved window; records are skipped and repeated."""
    log, out = MemoryLog(RAWS), MemoryOut()
    saved: dict[str, bytes] = {}
    position = 0
    keeps = data.draw(st.booleans())
    for _ in range(data.draw(st.integers(1, 4))):
        table = dict(saved) if data.draw(st.booleans()) else {}
        lane = make_processor(MODEL, log, out, table, snapshot=data.draw(st.integers(1, 9)))
        lane.own({0: position})
        at = data.draw(st.integers(0, len(RAWS)))
        while at < len(RAWS) and data.draw(st.integers(0, 5)):
            size = data.draw(st.integers(1, 25))
            lane.process(RAWS[at : at + size])
            at += data.draw(st.integers(-10, 40))
            at = max(0, at)
            if keeps:
                saved.update({stream: held for _, stream, held in lane.to_save()})
        position = lane.positions[0]
        # What it had worked on and not delivered dies with it.
        out._new = []
    lane = make_processor(MODEL, log, out, saved)
    lane.own({0: position})
    lane.catch_up(0)
    assert lane.positions[0] == len(RAWS)
    assert out.ids == WANTED
    assert out.letters == []


def test_nothing_is_said_twice_when_nothing_goes_wrong() -> None:
    out = MemoryOut()
    lane = make_processor(MODEL, MemoryLog(RAWS), out)
    lane.own({0: 0})
    assert lane.process(RAWS) == len(RAWS)
    assert len(out.events) == len(WANTED)
    assert lane.process(RAWS) == 0
    assert lane.process([replace(RAWS[0], partition=7)]) == 0
    assert len(out.events) == len(WANTED)


def poison() -> list[tuple[str, bytes | None, bytes | None]]:
    stream = STREAMS[0]
    back = replace(stream[5], shot=replace(shot(2, 77, 5), shot=shot(2, 77, 5).shot))
    other = bytearray(encode(stream[5]))
    other[6] = 9
    other[24:56] = hashlib.sha256(bytes(other[:24] + other[56:])).digest()
    odd = dict(shot(0, 1, 0).tokens)
    odd["place"] = odd["place"][:, :3]
    unfit = ShotRecord("odd", "r", 0, epoch(0), replace(shot(0, 1, 0), tokens=odd))
    return [
        ("version", b"s0", bytes(other)),
        ("garbage", b"s0", b"garbage"),
        ("garbage", b"s0", None),
        ("too-large", b"s0", bytes(2_000_000)),
        ("wrong-key", b"s1", encode(stream[5])),
        ("wrong-key", None, encode(stream[5])),
        ("jumps-back", b"s0", encode(replace(back, sequence=3))),
        ("unfit", b"s0", encode(replace(back, sequence=4000))),
        ("unfit", b"odd", encode(unfit)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("at", [7, 16])
@pytest.mark.parametrize("which", range(len(poison())))
def test_poison_is_put_aside_and_stops_nothing(which: int, at: int) -> None:
    reason, key, value = poison()[which]
    mixed = [*RAWS[:at], LogRecord(0, 0, key, value), *RAWS[at:]]
    raws = [replace(raw, offset=offset) for offset, raw in enumerate(mixed)]
    out = MemoryOut()
    lane = make_processor(MODEL, MemoryLog(raws), out)
    lane.own({0: 0})
    for raw in raws:
        lane.process([raw])
    assert [(raw.offset, why) for raw, why in out.letters] == [(at, reason)]
    assert out.ids == WANTED


def test_a_zombie_of_an_old_epoch() -> None:
    late = replace(STREAMS[0][8], sequence=9, shot=shot(9, 1, 0))
    mixed = [*RAWS[:-4], LogRecord(0, 0, b"s0", encode(late)), *RAWS[-4:]]
    raws = [replace(raw, offset=offset) for offset, raw in enumerate(mixed)]
    out = MemoryOut()
    lane = make_processor(MODEL, MemoryLog(raws), out)
    lane.own({0: 0})
    lane.process(raws)
    assert [why for _, why in out.letters] == ["stale-epoch"]
    assert out.ids == WANTED


def test_a_shot_that_was_written_twice() -> None:
    mixed = [*RAWS[:16], *RAWS[11:16], *RAWS[16:]]
    raws = [replace(raw, offset=offset) for offset, raw in enumerate(mixed)]
    out = MemoryOut()
    lane = make_processor(MODEL, MemoryLog(raws), out)
    lane.own({0: 0})
    lane.process(raws)
    assert out.letters == []
    assert len(out.events) == len(WANTED)


def test_shots_that_are_gone_for_good_end_nothing() -> None:
    stream = records("s", 3, 12)
    raws = laid_out([stream[:4] + stream[6:]])
    out = MemoryOut()
    lane = make_processor(MODEL, MemoryLog(raws), out)
    lane.own({0: 0})
    for raw in raws:
        lane.process([raw])
    assert out.letters == []
    shots = [event for event in out.events if event.get_type() == "dev.moae-streamer.shot.v1"]
    assert len(shots) == 10
    assert len({event.get_id() for event in shots}) == 10


def test_a_stream_that_begins_again_after_its_log_was_emptied() -> None:
    again = [replace(record, epoch=epoch(5)) for record in records("s0", 50, 6)]
    moved = [
        replace(r, shot=None if r.shot is None else shot(r.shot.shot.index, 50, 5000))
        for r in again
    ]
    raws = laid_out([STREAMS[0] + moved])
    out = MemoryOut()
    lane = make_processor(MODEL, MemoryLog(raws), out)
    lane.own({0: 0})
    lane.process(raws)
    assert out.letters == []
    assert out.ids == expected(STREAMS[0]) | expected(moved)


def test_a_window_of_another_mixture_is_rebuilt() -> None:
    log, out = MemoryLog(RAWS), MemoryOut()
    saved: dict[str, bytes] = {}
    lane = make_processor(MODEL, log, out, snapshot=1)
    lane.own({0: 0})
    lane.process(RAWS[:20])
    saved.update({stream: held for _, stream, held in lane.to_save()})
    assert len(saved) == 2
    newer = make_processor(marked(toy_model(seed=5), "b"), log, out, saved)
    newer.own({0: 20})
    newer.process(RAWS[20:])
    assert out.ids == WANTED
    assert newer._counters.counts["rebuilt refused"] >= 2


def test_windows_of_a_log_that_was_made_anew_are_not_trusted() -> None:
    old, saved = laid_out([records("s0", 3, 30, ends=False)]), {}
    lane = make_processor(MODEL, MemoryLog(old), MemoryOut(), snapshot=1)
    lane.own({0: 0})
    lane.process(old)
    saved.update({stream: held for _, stream, held in lane.to_save()})
    # Whoever reads the stream goes on counting; offsets begin at 0.
    later = [each for each in records("s0", 3, 30, epochs=2, ends=False) if each.epoch.number == 1]
    new, out = laid_out([later[:20]]), MemoryOut()
    again = make_processor(MODEL, MemoryLog(new), out, saved)
    again.own({0: 0})
    again.process(new)
    assert again._counters.counts["rebuilt foreign"] > 0
    assert again._counters.counts["repeats"] == 0
    shots = [event for event in out.events if ".shot." in str(event.get_type())]
    assert len(shots) == 20


def test_a_damaged_window_is_refused_whole() -> None:
    mixture = Mixture(MODEL, SegmentSection())
    window = StreamWindow("s0", mixture)
    for raw in laid_out([STREAMS[0]])[:6]:
        record = decode(raw.value)
        window.prepare(record, raw.offset)
        assert record.shot is not None
        window.segmentation.segmenter.push(record.shot.tokens)
        window.took(record, raw.offset)
    saved = window.save()
    for wrong in (b"", saved[:3], b"\x02" + saved[1:], saved[:40], saved[:-5], saved[:9] + b"{"):
        fresh = StreamWindow("s0", mixture)
        with pytest.raises(StateError):
            fresh.load(wrong)
        assert fresh.offset == -1
    other = StreamWindow("s1", mixture)
    with pytest.raises(StateError, match="another stream"):
        other.load(saved)
    again = StreamWindow("s0", mixture)
    again.load(saved)
    assert (again.offset, again.sequence, again.index) == (5, 6, 5)
    assert len(again.save()) == len(saved)
    renewed = StreamWindow("s0", mixture)
    renewed.load(first_release.window(window))
    assert renewed.save() == saved
    assert saved_place(first_release.window(window)) == saved_place(saved)
    for bit in range(0, 8 * len(saved), 13):
        broken = bytearray(saved)
        broken[bit // 8] ^= 1 << bit % 8
        assert saved_place(bytes(broken)) is None
        with pytest.raises(StateError):
            StreamWindow("s0", mixture).load(bytes(broken))
    with pytest.raises(RecordRefused, match="jumps-back"):
        again.judge(replace(STREAMS[0][7], sequence=1, shot=shot(1, 9, 3)), 99)


def test_the_time_of_each_stage_is_counted_by_stream() -> None:
    metrics = Metrics()
    lane = make_processor(MODEL, MemoryLog(RAWS), MemoryOut(), metrics=metrics)
    lane.own({0: 0})
    lane.process(RAWS)
    for stream in ("s0", "s1"):
        for stage in ("segment", "sinks"):
            labels = {"stream": stream, "stage": stage}
            spent = metrics.registry.get_sample_value("streamer_stage_seconds_total", labels)
            assert spent is not None
            assert spent > 0


def test_a_worker_that_only_segments_forgets_streams_that_ended_or_went() -> None:
    metrics = Metrics()
    counters = FleetCounters("scenes.shots", metrics)

    def shown() -> set[str]:
        return {
            sample.labels["stream"]
            for family in metrics.registry.collect()
            for sample in family.samples
            if sample.name == "streamer_boundaries_total"
        }

    for number in range(150):
        counters.event(f"film-{number}", "boundary")
        counters.ended(f"film-{number}")
        counters.spent([f"film-{number}"], "sinks", 0.1)
    counters.event("news", "boundary")
    assert shown() == {"news", *(f"film-{number}" for number in range(50, 150))}
    assert metrics.registry.get_sample_value("streamer_stream_up", {"stream": "news"}) is None
    # Somebody in the same process still reads it.
    metrics.stream("film-60").up(True)
    counters.keep(lambda stream: stream == "news")
    assert shown() == {"news", "film-60"}
    metrics.remove("film-60")
    assert shown() == {"news"}


def test_streams_whose_end_was_segmented_leave_a_hundred_with_series() -> None:
    streams = [records(f"film-{number}", 10, 2) for number in range(102)]
    raws, metrics = laid_out(streams), Metrics()
    lane = make_processor(MODEL, MemoryLog(raws), MemoryOut(), metrics=metrics)
    lane.own({0: 0})
    lane.process(raws)
    assert metrics.registry.get_sample_value("streamer_streams") == 100
