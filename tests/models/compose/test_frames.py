from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from streamer.models.compose.library import Library
from streamer.models.compose.paint import ShotPainter
from streamer.models.compose.plan import (
    Box,
    FilmPlan,
    Look,
    Move,
    ScenePlan,
    ShotPlan,
    Style,
    Transition,
)
from streamer.models.compose.render import Pictures, blend, blend_share

STILL = Move(Box(0.5, 0.5, 1.1), Box(0.5, 0.5, 1.1))
STYLE = Style(
    crf=20,
    preset="ultrafast",
    b_frames=0,
    shape=16 / 9,
    squeeze=1.0,
    grain=0.0,
    sound="none",
    sound_codec="aac",
    sample_rate=48_000,
    bit_rate=64_000,
    stereo=False,
    cutoff=20_000.0,
    gain=0.0,
)


def shot(first: int, frames: int, place: str, transition: Transition) -> ShotPlan:
    return ShotPlan(
        scene=0,
        first=first,
        frames=frames,
        place=place,
        view=0,
        mirrored=False,
        move=STILL,
        figures=(),
        talker=None,
        look=Look(),
        blur=0.0,
        flashes=(),
        transition=transition,
    )


def film_of(*shots: ShotPlan, style: Style = STYLE) -> FilmPlan:
    scene = ScenePlan("quiet", 0, shots[-1].end, len(shots), ("place0",), (), "opening")
    return FilmPlan("film", (1, 2), 160, 90, Fraction(25), style, (scene,), shots, ())


def drawn(film: FilmPlan, library: Library) -> list[NDArray[np.uint8]]:
    return list(Pictures(film, library))


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_new_shot_dominates_from_its_first_frame_on(before: int, after: int) -> None:
    shares = [blend_share(p, 100, before, after) for p in range(100 - before, 100 + after)]
    assert all(a < b for a, b in pairwise(shares))
    assert all(0 < share < 0.5 for share in shares[:before])
    assert all(0.5 < share < 1 for share in shares[before:])


def test_a_blend_is_linear() -> None:
    dark, light = np.full((4, 4), 20, np.uint8), np.full((4, 4), 220, np.uint8)
    assert (blend(dark, light, 0.0) == 20).all()
    assert (blend(dark, light, 1.0) == 220).all()
    assert (blend(dark, light, 0.25) == 70).all()


@pytest.mark.parametrize("kind", ["dissolve", "fade_black", "fade_white"])
def test_a_gradual_transition_touches_only_its_own_frames(library: Library, kind: str) -> None:
    change = Transition(kind, 6, 8)  # type: ignore[arg-type]  # parametrized by its literals
    shots = (
        shot(0, 30, "place0", Transition("start")),
        shot(30, 30, "place1", change),
    )
    pictures = drawn(film_of(*shots), library)
    assert len(pictures) == 60
    plain = film_of(shots[0], replace(shots[1], transition=Transition()))
    cut = drawn(plain, library)
    for position, (picture, expected) in enumerate(zip(pictures, cut, strict=True)):
        inside = 24 <= position < 38
        assert (picture != expected).any() == inside, position
    if kind == "fade_black":
        assert pictures[30][:90].mean() < 0.3 * cut[30][:90].mean() + 16
    if kind == "fade_white":
        assert pictures[30][:90].mean() > 0.5 * (cut[30][:90].mean() + 235)


def test_a_cut_lies_exactly_on_its_frame(library: Library) -> None:
    shots = (
        shot(0, 7, "place0", Transition("start")),
        shot(7, 9, "place1", Transition()),
    )
    pictures = drawn(film_of(*shots), library)
    changes = [i for i, (a, b) in enumerate(pairwise(pictures), 1) if (a != b).any()]
    assert changes == [7]


def test_a_flash_lasts_as_long_as_planned(library: Library) -> None:
    flashing = replace(shot(0, 20, "place0", Transition("start")), flashes=((5, 2), (12, 3)))
    pictures = drawn(film_of(flashing), library)
    calm = pictures[0][:90].astype(int)
    bright = [i for i, p in enumerate(pictures) if (p[:90].astype(int) - calm).mean() > 20]
    assert bright == [5, 6, 12, 13, 14]


def test_bars_are_black_and_grain_is_not_static(library: Library) -> None:
    style = replace(STYLE, shape=2.39, grain=4.0)
    pictures = drawn(film_of(shot(0, 3, "place0", Transition("start")), style=style), library)
    assert (pictures[0][:10] == 16).all()
    assert (pictures[0][80:90] == 16).all()
    assert (pictures[0][40] != pictures[1][40]).any()
    assert (pictures[0][:90] >= 0).all()
    narrow = replace(STYLE, shape=4 / 3)
    picture = drawn(film_of(shot(0, 1, "place0", Transition("start")), style=narrow), library)[0]
    assert (picture[:90, :18] == 16).all()
    assert (picture[:90, -18:] == 16).all()


def test_a_zoom_enlarges_the_middle_and_may_be_asked_beyond_its_ends(library: Library) -> None:
    move = Move(Box(0.5, 0.5, 1.0), Box(0.5, 0.5, 2.0))
    plan = replace(shot(0, 25, "place0", Transition("start")), move=move)
    film = film_of(plan)
    painter = ShotPainter(film, plan, library)
    first, last = painter.paint(0), painter.paint(24)
    assert (painter.paint(-5) == first).all()
    assert (painter.paint(40) == last).all()
    middle = first[90 // 4 : 90 - 90 // 4, 40:120].astype(float)
    shrunk = last[:90].astype(float)[::2, ::2][: middle.shape[0], :80]
    shift = 90 // 4 * 2 - 45
    assert abs(shift) <= 1
    inside = np.corrcoef(middle[:44].ravel(), shrunk[:44].ravel())[0, 1]
    assert inside > 0.9


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(1, 3), st.floats(0, 0.05), st.floats(0, 1))
def test_any_camera_stays_inside_the_view(
    library: Library, x: float, y: float, zoom: float, shake: float, phase: float
) -> None:
    move = Move(Box(x, y, zoom), Box(y, x, 4.0 - zoom), shake, (phase, phase, 0.5, 0.1))
    plan = replace(shot(0, 10, "place0", Transition("start")), move=move)
    painter = ShotPainter(film_of(plan), plan, library)
    for frame in (-3, 0, 5, 9, 14):
        picture = painter.paint(frame)
        assert picture.shape == (135, 160)
        assert 16 <= picture[:90].min() <= picture[:90].max() <= 235


def test_a_wipe_shows_both_shots_side_by_side(library: Library) -> None:
    two = film_of(
        shot(0, 20, "place0", Transition("start")), shot(20, 20, "place1", Transition("wipe", 6, 6))
    )
    pictures = drawn(two, library)
    older, newer = pictures[5], pictures[35]
    edges = []
    for picture in pictures:
        old, new = (
            (picture[:90] == older[:90]).all(axis=0),
            (picture[:90] == newer[:90]).all(axis=0),
        )
        assert (old | new).all()
        edge = int(new.sum())
        # New columns on the left, old ones on the right, in colour too.
        assert new[:edge].all()
        chroma = picture[90:].reshape(45, 2, 80)
        assert (chroma[:, :, : edge // 2] == newer[90:].reshape(45, 2, 80)[:, :, : edge // 2]).all()
        assert (chroma[:, :, edge // 2 :] == older[90:].reshape(45, 2, 80)[:, :, edge // 2 :]).all()
        edges.append(edge)
    assert edges == sorted(edges)
    assert (edges[13], edges[26]) == (0, 160)
    assert 60 < edges[19] < 80 < edges[20] < 100
