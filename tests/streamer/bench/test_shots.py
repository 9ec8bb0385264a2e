from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

from streamer.bench.shots import judge, with_transitions
from streamer.models.compose.plan import Transition
from streamer.timeline import Shot, ShotEnd, Timestamp
from tests.models.compose.test_frames import film_of, shot

FILM = film_of(
    shot(0, 50, "a", Transition("start")),
    shot(50, 50, "b", Transition("cut")),
    shot(100, 50, "c", Transition("dissolve", 10, 8)),
    shot(150, 50, "d", Transition("wipe", 6, 6)),
)


def found(*ends: tuple[int, ShotEnd]) -> list[Shot]:
    starts = [0, *(end for end, _ in ends[:-1])]
    return [
        Shot(index, Timestamp(start, Fraction(1, 25)), Timestamp(end, Fraction(1, 25)), kind)
        for index, (start, (end, kind)) in enumerate(zip(starts, ends, strict=True))
    ]


def test_each_cut_counts_once_and_near_its_transition_only() -> None:
    shots = found((50, "cut"), (52, "cut"), (108, "gradual"), (140, "forced"), (200, "end"))
    result = judge(FILM, shots, 1.5, 4)
    assert result.kinds == {"cut": (1, 1, 1), "dissolve": (1, 1, 1), "wipe": (0, 0, 1)}
    assert (result.false, result.pictures, result.cpu, result.latency) == (1, 200, 1.5, 4)
    late = judge(FILM, found((56, "cut"), (113, "gradual"), (161, "cut"), (200, "end")), 0.0, 4)
    assert late.kinds == {"cut": (0, 0, 1), "dissolve": (1, 0, 1), "wipe": (1, 0, 1)}
    assert late.false == 1


def test_all_kinds_come_and_overlap_nothing() -> None:
    shots = [shot(100 * n, 100, "a", Transition("cut" if n else "start")) for n in range(40)]
    film = with_transitions(film_of(*shots))
    kinds = [each.transition.kind for each in film.shots]
    assert kinds[0] == "start"
    assert {"cut", "dissolve", "wipe", "fade_black"} <= set(kinds)
    assert 17 <= kinds.count("cut") <= 21
    for before, after in pairwise(film.shots):
        assert before.transition.after + after.transition.before < before.frames
    # A shot of three pictures has no room for anything but a cut.
    short = with_transitions(
        film_of(*(replace(s, first=3 * n, frames=2) for n, s in enumerate(shots)))
    )
    assert {each.transition.kind for each in short.shots} == {"start", "cut"}
