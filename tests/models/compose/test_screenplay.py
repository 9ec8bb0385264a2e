from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.models.compose.library import Library
from streamer.models.compose.plan import ScenePlan, ShotPlan
from streamer.models.compose.screenplay import Bounds, Screenwriter

RATES = (Fraction(25), Fraction(24000, 1001), Fraction(12), Fraction(60))


def written(
    library: Library, seed: int, bounds: Bounds
) -> tuple[tuple[ScenePlan, ...], tuple[ShotPlan, ...]]:
    return Screenwriter(library, np.random.default_rng(seed), bounds).write()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), rate=st.sampled_from(RATES), seconds=st.integers(1, 200))
def test_bounds_hold_for_every_film(
    library: Library, seed: int, rate: Fraction, seconds: int
) -> None:
    bounds = Bounds(frames=round(seconds * rate), rate=rate)
    scenes, shots = written(library, seed, bounds)
    assert shots[0].first == scenes[0].first == 0
    assert shots[0].transition.kind == "start"
    for before, after in pairwise(shots):
        assert before.end == after.first
        assert (before.scene, before.view, before.move) != (after.scene, after.view, after.move)
        change = after.transition
        if change.kind == "cut":
            assert change.before == change.after == 0
        else:
            assert change.before > 0
            assert change.after > 0
            assert change.before + before.transition.after < before.frames
    for before_scene, after_scene in pairwise(scenes):
        assert before_scene.end == after_scene.first
    assert shots[-1].end == scenes[-1].end >= bounds.frames
    assert all(1 <= shot.frames / rate <= 12 for shot in shots)
    counts = Counter(shot.scene for shot in shots)
    assert [counts[i] for i in range(len(scenes))] == [s.shots for s in scenes]
    assert all(3 <= scene.shots <= 40 for scene in scenes)
    for scene, plan in enumerate(scenes):
        assert {s.place for s in shots if s.scene == scene} <= set(plan.places)
    # It goes on for at most the two shots that its last scene still needs.
    assert shots[-min(3, len(shots))].first < bounds.frames


def test_the_same_chance_writes_the_same_film(library: Library) -> None:
    bounds = Bounds(4000, Fraction(25))
    assert written(library, 5, bounds) == written(library, 5, bounds)
    assert written(library, 5, bounds) != written(library, 6, bounds)


def test_scenes_hold_what_makes_them_hard_to_see(library: Library) -> None:
    scenes: list[ScenePlan] = []
    shots: list[ShotPlan] = []
    for seed in range(12):
        some, more = written(library, seed, Bounds(15_000, Fraction(25)))
        for index, scene in enumerate(some):
            if scene.kind == "parallel" and len(scene.places) > 1 and scene.shots > 8:
                order = [s.place for s in more if s.scene == index]
                turns = sum(a != b for a, b in pairwise(order))
                assert turns >= 2
        for before, after in pairwise(some):
            if after.relation == "same_place":
                assert after.places[0] == before.places[0]
        scenes += some
        shots += more
    kinds = Counter(scene.kind for scene in scenes)
    assert set(kinds) == {"dialogue", "action", "quiet", "montage", "parallel"}
    relations = Counter(scene.relation for scene in scenes)
    assert min(relations[r] for r in ("new_place", "same_place", "return")) > 5
    transitions = Counter(shot.transition.kind for shot in shots)
    assert min(transitions[t] for t in ("dissolve", "fade_black", "fade_white")) > 0
    assert transitions["cut"] > 0.85 * len(shots)
    lengths = np.array([shot.frames / 25 for shot in shots], float)
    assert 2.0 < np.median(lengths) < 4.0
    # Log-normal rather than uniform: the mean lies above the median.
    assert lengths.mean() > 1.08 * np.median(lengths)
    assert 6 <= np.median([scene.shots for scene in scenes]) <= 13
    assert any(shot.flashes for shot in shots)
    assert any(shot.move.shake > 0 for shot in shots)
    assert any(shot.move.begin.zoom != shot.move.end.zoom for shot in shots)
    assert any(shot.move.begin.x != shot.move.end.x for shot in shots)


def test_a_conversation_alternates_and_changes_its_angle(library: Library) -> None:
    scenes, shots = written(library, 3, Bounds(15_000, Fraction(25)))
    talks = [i for i, scene in enumerate(scenes) if scene.kind == "dialogue"]
    assert talks
    for scene in talks:
        inside = [s for s in shots if s.scene == scene]
        talkers = {s.talker for s in inside if s.talker}
        assert len(talkers) >= 2
        assert talkers <= set(scenes[scene].people)
        for before, after in pairwise(inside):
            seen = {f.person for f in before.figures}, {f.person for f in after.figures}
            assert before.view != after.view or seen[0] != seen[1]


@pytest.mark.parametrize("lacking", ["people", "speech", "both"])
def test_media_without_people_or_voices_still_make_films(library: Library, lacking: str) -> None:
    poor = library
    if lacking in ("people", "both"):
        poor = replace(poor, people=())
    if lacking in ("speech", "both"):
        poor = replace(poor, speech=())
    _, shots = written(poor, 1, Bounds(5000, Fraction(25)))
    shown = any(shot.figures for shot in shots)
    assert shown == (lacking == "speech")
    assert any(shot.talker for shot in shots) == (lacking != "both")


def test_one_place_makes_scenes_by_time_and_people(library: Library) -> None:
    poor = replace(library, places=library.places[:1])
    scenes, _ = written(poor, 1, Bounds(5000, Fraction(25)))
    assert len(scenes) > 1
    assert {scene.relation for scene in scenes[1:]} == {"same_place"}
