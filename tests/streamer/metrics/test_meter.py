"""Counters grow by what a run adds, also when it goes on from where another left off."""

from __future__ import annotations

from fractions import Fraction

from streamer.metrics.meter import StreamMeter
from streamer.metrics.metrics import Metrics
from streamer.pipeline.progress import Disconnected, Progress
from tests.streamer.metrics.test_metrics import of


def meter(metrics: Metrics) -> StreamMeter:
    return StreamMeter(metrics.stream("a"))


def progress(position: int, shots: int, **more: float) -> Progress:
    return Progress(
        position=Fraction(position),
        shots=shots,
        scenes=shots // 2,
        boundaries=shots // 3,
        spent={"aspects": float(position) / 10},
        skipped={"panns": position},
        faults={"time": position // 10},
        lost_sound=position / 4,
        **more,  # type: ignore[arg-type]  # the fields that a test names
    )


def test_a_run_adds_what_it_does() -> None:
    metrics = Metrics()
    watch = meter(metrics)
    watch(progress(0, 0))
    watch(progress(30, 6, lag=1.5, drift=-0.25, epoch=2, thinning=3))
    watch(progress(60, 12, lag=0.5, drift=-0.5, epoch=2, thinning=1))
    assert of(metrics, "streamer_media_seconds_total", stream="a") == 60
    assert of(metrics, "streamer_shots_total", stream="a") == 12
    assert of(metrics, "streamer_scenes_total", stream="a") == 6
    assert of(metrics, "streamer_boundaries_total", stream="a") == 4
    assert of(metrics, "streamer_stage_seconds_total", stream="a", stage="aspects") == 6
    assert of(metrics, "streamer_skipped_pieces_total", stream="a", aspect="panns") == 60
    assert of(metrics, "streamer_decode_faults_total", stream="a", fault="time") == 6
    assert of(metrics, "streamer_lost_sound_seconds_total", stream="a") == 15
    assert of(metrics, "streamer_lag_seconds", stream="a") == 0.5
    assert of(metrics, "streamer_drift_seconds", stream="a") == -0.5
    assert of(metrics, "streamer_stream_epoch", stream="a") == 2
    assert of(metrics, "streamer_thinning_level", stream="a") == 1


def test_what_an_earlier_run_did_is_not_counted_again() -> None:
    metrics = Metrics()
    watch = meter(metrics)
    watch(progress(3600, 900))
    watch(progress(3610, 903))
    assert of(metrics, "streamer_media_seconds_total", stream="a") == 10
    assert of(metrics, "streamer_shots_total", stream="a") == 3
    assert of(metrics, "streamer_skipped_pieces_total", stream="a", aspect="panns") == 10
    assert of(metrics, "streamer_decode_faults_total", stream="a", fault="time") == 1
    assert of(metrics, "streamer_lost_sound_seconds_total", stream="a") == 2.5
    watch(progress(10, 1))
    assert of(metrics, "streamer_shots_total", stream="a") == 3


def test_a_stream_that_is_away_is_down() -> None:
    metrics = Metrics()
    watch = meter(metrics)
    watch(Disconnected("stalled", "nothing came for 10 s", 1.0))
    watch(Disconnected("unreachable", "no answer", 2.0))
    assert of(metrics, "streamer_stream_up", stream="a") == 0
    assert of(metrics, "streamer_reconnections_total", stream="a") == 2
