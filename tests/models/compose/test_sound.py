from __future__ import annotations

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import ComposeError
from streamer.models.compose.audio import (
    LOUDNESS,
    Clips,
    SoundMixer,
    decode,
    level,
    loop,
    low_pass,
    reverberate,
)
from streamer.models.compose.draw import SOUND_TRACKS, sound_track
from streamer.models.compose.library import Library
from streamer.models.compose.plan import FilmPlan, ScenePlan, SoundEvent, SoundTrack, Transition
from streamer.models.compose.screenplay import Bounds, Screenwriter
from streamer.models.compose.soundtrack import HEARD, SoundWriter
from tests.models.compose.test_frames import STYLE, shot

RATE = 16_000


def film_with(*sounds: SoundEvent, stereo: bool = False) -> FilmPlan:
    one = shot(0, 100, "place0", Transition("start"))
    scene = ScenePlan("quiet", 0, 100, 1, ("place0",), (), "opening")
    style = replace(STYLE, sound="full", sample_rate=RATE, stereo=stereo)
    return FilmPlan("film", (1,), 160, 90, Fraction(25), style, (scene,), (one,), sounds)


def event(media: Path, start: float, seconds: float) -> SoundEvent:
    return SoundEvent(
        layer="ambience",
        path=media / "ambience" / "noise0.wav",
        unit="noise0",
        start=start,
        seconds=seconds,
        offset=1.0,
        level=-26.0,
        fade_in=0.0,
        fade_out=0.0,
    )


def test_a_sound_lies_where_it_was_put(media: Path) -> None:
    film = film_with(event(media, 1.25, 2.0))
    sound = np.concatenate(list(SoundMixer(film).blocks(25)), axis=1)[0]
    assert sound.size == 4 * RATE
    heard = np.flatnonzero(sound)
    assert heard[0] == pytest.approx(1.25 * RATE, abs=2)
    assert heard[-1] == pytest.approx(3.25 * RATE, abs=2)
    inside = sound[int(1.3 * RATE) : int(3.2 * RATE)]
    assert 20 * np.log10(inside.std()) == pytest.approx(-26.0, abs=0.5)


def test_blocks_do_not_change_the_mix(media: Path) -> None:
    sounds = (event(media, -0.5, 2.0), replace(event(media, 1.0, 9.0), room=0.3, speed=1.03))
    film = film_with(*sounds, stereo=True)
    whole = np.concatenate(list(SoundMixer(film).blocks(100)), axis=1)
    pieces = np.concatenate(list(SoundMixer(film).blocks(7)), axis=1)
    assert whole.shape == (2, 4 * RATE)
    assert (whole == pieces).all()


def test_nothing_ever_clips(media: Path) -> None:
    loud = tuple(replace(event(media, 0.0, 4.0), level=3.0) for _ in range(6))
    sound = np.concatenate(list(SoundMixer(film_with(*loud)).blocks(25)), axis=1)
    assert np.abs(sound).max() <= 1.0
    assert np.abs(sound).max() > 0.9


@given(st.integers(1, 400), st.integers(0, 399), st.integers(1, 3000), st.integers(0, 60))
def test_a_loop_is_as_long_as_asked(size: int, offset: int, length: int, seam: int) -> None:
    clip = np.linspace(-1, 1, size, dtype=np.float32)
    looped = loop(clip, offset % size, length, seam)
    assert looped.size == length
    assert np.abs(looped).max() <= 1.0 + 1e-6
    if offset % size < size - min(seam, size // 4):
        assert looped[0] == pytest.approx(float(clip[offset % size]), abs=1e-6)
    if length > size and seam == 0:
        assert looped[size] == looped[0]


def test_a_room_adds_a_tail_that_dies_away() -> None:
    click = np.zeros(RATE, np.float32)
    click[0] = 1.0
    wet = reverberate(click, 0.5, RATE)
    assert wet.size == RATE + RATE // 2
    assert wet[0] == pytest.approx(1.0, abs=0.1)
    early, late = (np.square(wet[a : a + 800]).sum() for a in (100, 6400))
    assert late < 0.02 * early


def test_levelling_and_band_limits() -> None:
    time = np.arange(RATE) / RATE
    mixed = (np.sin(2 * np.pi * 300 * time) + np.sin(2 * np.pi * 5000 * time)).astype(np.float32)
    kept = low_pass(mixed, RATE, 2000.0)
    spectrum = np.abs(np.fft.rfft(kept))
    assert spectrum[300] > 100 * spectrum[5000]
    assert low_pass(mixed, RATE, 8000.0) is mixed
    assert level(0.003 * mixed, RATE).std() == pytest.approx(LOUDNESS, rel=0.01)
    silence = np.zeros(RATE, np.float32)
    assert (level(silence, RATE) == 0).all()


def test_what_is_no_sound_is_refused_by_name(media: Path, tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r"0\.png"):
        decode(media / "places" / "place0" / "0.png", RATE)
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF" + bytes(40))
    with pytest.raises(ComposeError, match=r"broken\.wav"):
        Clips(RATE, 8000.0).get(broken)


def soundtrack(
    library: Library, seed: int, track: SoundTrack
) -> tuple[tuple[ScenePlan, ...], list[float], tuple[SoundEvent, ...]]:
    writer = Screenwriter(library, np.random.default_rng(seed), Bounds(7500, Fraction(25)))
    scenes, shots = writer.write()
    cast = [person.name for person in writer.cast]
    rng = np.random.default_rng(seed + 1)
    events = SoundWriter(library, rng, Fraction(25), track, cast).write(scenes, shots)
    return scenes, [s.first / 25 for s in shots], events


@pytest.mark.parametrize("track", list(HEARD))
def test_only_the_layers_asked_for_are_heard(library: Library, track: SoundTrack) -> None:
    layers = set()
    for seed in range(6):
        layers |= {e.layer for e in soundtrack(library, seed, track)[2]}
    assert layers == HEARD[track]


@pytest.mark.parametrize("seed", range(5))
def test_few_films_already_have_their_share_of_every_sound_track(seed: int) -> None:
    tracks = Counter(sound_track(seed, index) for index in range(50))
    for track, share in SOUND_TRACKS.items():
        assert abs(tracks[track] - 50 * share) <= 2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_sounds_are_sane_for_every_film(library: Library, seed: int) -> None:
    scenes, _, events = soundtrack(library, seed, "full")
    end = scenes[-1].end / 25
    assert list(events) == sorted(events, key=lambda e: e.start)
    for one in events:
        assert -2.0 <= one.start < end
        assert 0 < one.seconds <= end + 4.0
        assert 0.9 < one.speed < 1.1
        assert one.level < 0
    lines = [e for e in events if e.layer == "speech"]
    for before, after in pairwise(lines):
        assert after.start >= before.end - 1e-9 or before.unit != after.unit


def test_sound_leads_trails_bridges_and_changes(library: Library) -> None:
    offsets: list[float] = []
    bridges = changes = 0
    for seed in range(10):
        scenes, cuts, events = soundtrack(library, seed, "full")
        edges = [scene.first / 25 for scene in scenes[1:]]
        music = [e for e in events if e.layer == "music"]
        bridges += sum(e.start < edge - 3 < edge + 3 < e.end for e in music for edge in edges)
        changes += sum(abs(e.end - edge) < 3 for e in music for edge in edges)
        for line in (e for e in events if e.layer == "speech"):
            nearest = min(cuts, key=lambda c: abs(c - line.start))
            offsets.append(line.start - nearest)
    assert bridges > 5
    assert changes > 5
    assert sum(o < -0.2 for o in offsets) > 10
    assert sum(o > 0.2 for o in offsets) > 10


def test_everybody_keeps_one_voice(library: Library) -> None:
    writer = Screenwriter(library, np.random.default_rng(3), Bounds(7500, Fraction(25)))
    scenes, shots = writer.write()
    cast = [p.name for p in writer.cast]
    rng = np.random.default_rng(1)
    events = SoundWriter(library, rng, Fraction(25), "full", cast).write(scenes, shots)
    talkers = {s.talker for s in shots if s.talker}
    speakers = {e.unit for e in events if e.layer == "speech"}
    assert 1 < len(speakers) <= len(set(cast))
    assert talkers <= set(cast)
