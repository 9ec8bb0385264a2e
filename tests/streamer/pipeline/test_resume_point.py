"""A splitter that is cut anywhere goes on as if it had not been."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import StateError
from streamer.pipeline import resume_point
from streamer.pipeline.resume_point import ResumePoint
from streamer.shots.base import ShotOptions
from streamer.shots.fixed import FixedSplitter, SoundLead, WindowState
from streamer.shots.signature import Signature
from streamer.shots.thumbnails import ShotSplitter
from streamer.timeline import Timestamp

if TYPE_CHECKING:
    from streamer.timeline import Shot

BASE = Fraction(1, 25)
SETTINGS = ShotOptions(max_seconds=3.0)


def film(parts: list[tuple[str, int]], seed: int) -> list[Signature]:
    """Still contents, black, and dissolves between them, with a little noise."""
    random = np.random.default_rng(seed)
    pictures: list[Signature] = []
    luma = random.uniform(0, 255, (18, 32)).astype(np.float32)
    chroma = random.uniform(60, 200, (2, 9, 16)).astype(np.float32)
    for kind, length in parts:
        before = luma, chroma
        if kind != "stay":
            luma = random.uniform(0, 255, (18, 32)).astype(np.float32)
            chroma = random.uniform(60, 200, (2, 9, 16)).astype(np.float32)
        if kind == "black":
            luma, chroma = luma * 0 + 16, chroma * 0 + 128
        for index in range(length):
            share = min(1.0, (index + 1) / 20) if kind == "dissolve" else 1.0
            noise = random.normal(0, 0.5, luma.shape).astype(np.float32)
            pictures.append(
                Signature(
                    (before[0] * (1 - share) + luma * share + noise).astype(np.float32),
                    (before[1] * (1 - share) + chroma * share).astype(np.float32),
                )
            )
    return pictures


def split(
    splitter: ShotSplitter, pictures: list[Signature], first: int, times: list[int] | None = None
) -> tuple[list[Shot], list[tuple[int, ResumePoint]]]:
    shots: list[Shot] = []
    marks: list[tuple[int, ResumePoint]] = []
    times = list(range(len(pictures) + 1)) if times is None else times
    for number, picture in zip(times[first:], pictures[first:], strict=False):
        closed = splitter.push(Timestamp(number, BASE), picture).closed
        shots += closed
        if closed:
            marks.append((len(shots), ResumePoint(Timestamp(0, BASE), 0, splitter.state())))
    return [*shots, *splitter.finish(Timestamp(times[len(pictures)], BASE))], marks


kinds = st.sampled_from(["cut", "stay", "black", "dissolve"])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(kinds, st.integers(3, 60)), min_size=2, max_size=8), st.integers(0, 999))
def test_shots_behind_a_mark_are_those_of_one_run(parts: list[tuple[str, int]], seed: int) -> None:
    pictures = film(parts, seed)
    rate = Fraction(25)
    whole, marks = split(ShotSplitter(SETTINGS, rate), pictures, 0)
    for count, found in marks:
        text, arrays = resume_point.dump(found)
        again = resume_point.load(text, arrays)
        assert again.at == found.at
        splitter = ShotSplitter(SETTINGS, rate)
        splitter.resume(again.splitter)  # type: ignore[arg-type] # of pictures
        rest, _ = split(splitter, pictures, found.at.pts + 1)
        assert rest == whole[count:]


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(kinds, st.integers(1, 12)), min_size=4, max_size=8),
    st.lists(st.sampled_from([1, 10, 130, 400, 700]), min_size=5, max_size=5),
    st.integers(0, 999),
)
def test_marks_hold_where_several_pictures_are_decided_at_once(
    parts: list[tuple[str, int]], steps: list[int], seed: int
) -> None:
    pictures = film(parts, seed)
    times = [int(at) for at in np.cumsum([0, *(steps[k % 5] for k in range(len(pictures)))])]
    whole, marks = split(ShotSplitter(SETTINGS, None), pictures, 0, times)
    for count, found in marks:
        splitter = ShotSplitter(SETTINGS, None)
        assert not isinstance(found.splitter, WindowState)
        splitter.resume(found.splitter)
        done = found.splitter.index
        rest, _ = split(splitter, pictures, times.index(found.at.pts) + 1, times)
        assert done == count
        assert rest == whole[count:]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 200), min_size=5, max_size=60))
def test_windows_behind_a_mark_are_those_of_one_run(steps: list[int]) -> None:
    base = Fraction(1, 50)
    starts = [Timestamp(int(at), base) for at in np.cumsum([0, *steps])]
    whole: list[Shot] = []
    marks: list[tuple[int, ResumePoint]] = []
    lead = SoundLead(SETTINGS, Fraction(0))
    for start in starts:
        step = lead.push(start)
        if step is not None and step.closed:
            whole += step.closed
            marks.append((len(whole), ResumePoint(starts[0], 0, lead.state())))
    end = Timestamp(starts[-1].pts + 10, base)
    whole += lead.finish(end)
    for count, found in marks:
        text, arrays = resume_point.dump(found)
        assert arrays == {}
        again = SoundLead(SETTINGS, Fraction(0))
        again.resume(resume_point.load(text, arrays).splitter)  # type: ignore[arg-type] # of windows
        rest: list[Shot] = []
        for start in starts:
            if start >= found.at and (step := again.push(start)) is not None:
                rest += step.closed
        rest += again.finish(end)
        assert rest == whole[count:]


def test_what_is_no_mark_is_refused() -> None:
    fixed = FixedSplitter(SETTINGS)
    fixed.push(Timestamp(0, BASE))
    windows = ResumePoint(Timestamp(0, BASE), 0, fixed.state())
    text, _ = resume_point.dump(windows)
    pictures = film([("cut", 30), ("cut", 30)], 1)
    _, marks = split(ShotSplitter(SETTINGS, Fraction(25)), pictures, 0)
    whole, arrays = resume_point.dump(marks[0][1])
    bad = {name: array[:, :-1] for name, array in arrays.items()}
    few = {name: array[:-1] for name, array in arrays.items()}
    for wrong, given_arrays in (
        ("", arrays),
        ("{}", arrays),
        (text.replace("origin", "beginning"), {}),
        (text.replace("1/25", "1/0"), {}),
        (whole, {}),
        (whole, bad),
        (whole, few),
        (whole[:-20], arrays),
    ):
        with pytest.raises(StateError):
            resume_point.load(wrong, given_arrays)
    assert resume_point.load(text, {}) == windows
    assert replace(windows, windows=2) != windows
