from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events.payload import ModelRef
from streamer.pipeline.scenes import SceneTracker, StreamIdentity
from streamer.segment.decision import Decision, ExpertVote
from streamer.timeline import EmbeddedShot, Instant, Shot

if TYPE_CHECKING:
    from streamer.timeline import ShotEnd

BASE = Fraction(1, 90000)
TOKENS = {"place": np.zeros((1, 4), np.float32)}


def tracker(threshold: float = 0.5) -> SceneTracker:
    identity = StreamIdentity(
        stream="film",
        epoch=0,
        start=Instant(90000, BASE),
        frame_rate=Fraction(25),
        networks={"place": "efficientnet-lite0", "vggish": "yamnet"},
        model=ModelRef(name="MOAE_A", sha256="0" * 64),
    )
    return SceneTracker(identity, threshold)


def shot(index: int, ended_by: ShotEnd = "cut") -> EmbeddedShot:
    start, end = 90000 * (1 + 4 * index), 90000 * (1 + 4 * (index + 1))
    where = Shot(index, Instant(start, BASE), Instant(end, BASE), ended_by)
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
    assert scenes.decide(decision(0, 0.1), 0.02) is None
    found = scenes.decide(decision(1, 0.9), 0.02)
    assert found is not None
    boundary, scene = found
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
    assert scenes.decide(decision(0, 1.0), 0.0) is None


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0, 1))
def test_scenes_tile_the_shots(scores: list[float], threshold: float) -> None:
    scenes = tracker(threshold)
    spans = []
    for index in range(len(scores) + 1):
        scenes.shot(shot(index), None, None)
    for index, score in enumerate(scores):
        if found := scenes.decide(decision(index, score), 0.0):
            spans.append(found[1].scene)
    last = scenes.finish()
    assert last is not None
    spans.append(last.scene)
    assert sum(span.shots for span in spans) == len(scores) + 1
    assert [span.index for span in spans] == list(range(len(spans)))
    assert all(a.end == b.start for a, b in itertools.pairwise(spans))
    assert len(spans) == 1 + sum(score >= threshold for score in scores)


def test_an_input_without_shots_has_no_scene() -> None:
    assert tracker().finish() is None
