from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events.payload import ModelRef
from streamer.pipeline.epoch import Epoch, MissingInput
from streamer.pipeline.scenes import SceneTracker
from streamer.timeline import EmbeddedShot, Shot, Timestamp
from streamer.window.scorer import Decision, ExpertVote

if TYPE_CHECKING:
    from streamer.timeline import ShotEnd

BASE = Fraction(1, 90000)
TOKENS = {"place": np.zeros((1, 4), np.float32)}


NETWORKS = {"place": "efficientnet-lite0", "vggish": "yamnet"}


def epoch(number: int = 0, gap: MissingInput | None = None) -> Epoch:
    start = Timestamp(90000, BASE)
    return Epoch(number, start, Fraction(25), NETWORKS, arrival=1_700_000_100.0, gap=gap)


def tracker(threshold: float = 0.5) -> SceneTracker:
    scenes = SceneTracker("film", ModelRef(name="MOAE_A", sha256="0" * 64), threshold)
    assert scenes.begin(epoch()) is None
    return scenes


def shot(index: int, ended_by: ShotEnd = "cut") -> EmbeddedShot:
    start, end = 90000 * (1 + 4 * index), 90000 * (1 + 4 * (index + 1))
    where = Shot(index, Timestamp(start, BASE), Timestamp(end, BASE), ended_by)
    return EmbeddedShot(where, TOKENS, where.end.seconds + Fraction(1, 5), 0.01)


def decision(index: int, score: float) -> Decision:
    votes = (
        ExpertVote("MME_place_VGGish", 1.0, score, absent=False),
        ExpertVote("HLSS_VGGish", 0.0, 0.0, absent=True),
    )
    return Decision(index, score, votes, 2, padded=False)


def test_a_boundary_tells_where_the_new_scene_begins_and_what_ended() -> None:
    scenes = tracker()
    for index in range(4):
        scenes.shot(shot(index), None, 1_700_000_000.0 + index)
    assert scenes.decide(decision(0, 0.1), 0.02) == (None, None)
    boundary, scene = scenes.decide(decision(1, 0.9), 0.02)
    assert boundary is not None
    assert scene is not None
    assert (boundary.pts, boundary.time_base) == (9 * 90000, "1/90000")
    assert boundary.seconds == 8.0
    assert boundary.timecode == "00:00:08:00"
    assert (boundary.boundary_index, boundary.shot_index) == (1, 2)
    assert (scene.scene.start, scene.scene.end, scene.scene.shots) == (0.0, 8.0, 2)
    assert boundary.scene == scene.scene
    assert boundary.wallclock.origin == "arrival"
    assert boundary.latency.media_seconds == pytest.approx(8.2)
    assert boundary.latency_seconds == pytest.approx(8.22)
    assert boundary.aspects["vggish"].absent
    assert not boundary.aspects["place"].absent
    assert [vote.probability for vote in boundary.experts] == [0.9, None]


def test_a_forced_close_is_never_a_boundary() -> None:
    scenes = tracker()
    scenes.shot(shot(0, "forced"), None, None)
    scenes.shot(shot(1), None, None)
    assert scenes.decide(decision(0, 1.0), 0.0) == (None, None)


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0, 1))
def test_scenes_tile_the_shots(scores: list[float], threshold: float) -> None:
    scenes = tracker(threshold)
    spans = []
    for index in range(len(scores) + 1):
        scenes.shot(shot(index), None, None)
    for index, score in enumerate(scores):
        _, scene = scenes.decide(decision(index, score), 0.0)
        if scene is not None:
            spans.append(scene.scene)
    last = scenes.finish()
    assert last is not None
    spans.append(last.scene)
    assert sum(span.shots for span in spans) == len(scores) + 1
    assert [span.index for span in spans] == list(range(len(spans)))
    assert all(a.end == b.start for a, b in itertools.pairwise(spans))
    assert len(spans) == 1 + sum(score >= threshold for score in scores)


@pytest.mark.parametrize(("score", "found"), [(0.9, True), (0.1, False)])
def test_a_gap_is_told_and_the_boundary_across_it_decided(score: float, found: bool) -> None:
    scenes = tracker()
    scenes.shot(shot(0), None, None)
    scenes.shot(shot(1, "gap"), None, None)
    scenes.decide(decision(0, 0.1), 0.0)
    gap = MissingInput("stalled", lost_from=1_700_000_088.0, attempts=3, detail="nothing came")
    told = scenes.begin(epoch(1, gap))
    assert told is not None
    assert (told.epoch, told.previous_epoch, told.previous_seconds) == (1, 0, 8.0)
    assert (told.reason, told.attempts, told.missing_seconds) == ("stalled", 3, 12.0)
    scenes.shot(shot(0), None, None)
    scenes.shot(shot(1), None, None)
    boundary, scene = scenes.decide(decision(1, score), 0.0)
    assert scene is not None
    assert (scene.epoch, scene.scene.shots, scene.scene.end) == (0, 2, 8.0)
    assert scene.ended_by == ("boundary" if found else "gap")
    assert (boundary is not None) == found
    if boundary is not None:
        assert boundary.across_gap
        assert (boundary.epoch, boundary.seconds, boundary.scene.epoch) == (1, 0.0, 0)
        assert (boundary.boundary_index, boundary.shot_index) == (-1, 0)
        assert boundary.latency.media_seconds == pytest.approx(8.2)
    scenes.decide(decision(2, 0.0), 0.0)
    last = scenes.finish()
    assert last is not None
    assert (last.epoch, last.scene.index, last.scene.shots) == (1, 0, 2)
    assert last.continues == (not found)


def test_shots_and_epochs_come_in_order() -> None:
    scenes = SceneTracker("film", ModelRef(name="MOAE_A", sha256="0" * 64), 0.5)
    with pytest.raises(ValueError, match="before its epoch"):
        scenes.shot(shot(0), None, None)
    scenes.begin(epoch(2))
    scenes.shot(shot(5), None, None)
    for wrong in (5, 4, 7):
        with pytest.raises(ValueError, match="came after shot 5"):
            scenes.shot(shot(wrong), None, None)
    with pytest.raises(ValueError, match="came after epoch 2"):
        scenes.begin(epoch(2))


def test_an_input_without_shots_has_no_scene() -> None:
    assert tracker().finish() is None
