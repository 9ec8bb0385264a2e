from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.aspects.track import SoundTrack, clean
from streamer.timeline import Sound, Timestamp


def tone(seconds: float, rate: int, hz: float = 440.0, channels: int = 2) -> np.ndarray:
    wave = 0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)
    return np.stack([wave] * channels).astype(np.float32)


def block(samples: np.ndarray, rate: int, at: int, layout: str = "stereo") -> Sound:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", layout)
    frame.sample_rate = rate
    return clean(Sound(Timestamp(at, Fraction(1, rate)), frame))


def fill(track: SoundTrack, samples: np.ndarray, rate: int, chunk: int, at: int = 0) -> None:
    for low in range(0, samples.shape[1], chunk):
        track.push(block(samples[:, low : low + chunk], rate, at + low))


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_a_tone_keeps_its_time_and_its_loudness(rate: int) -> None:
    track = SoundTrack(16000)
    fill(track, tone(2, rate), rate, 1000)
    track.flush()
    samples, received = track.read(0, 16000)
    expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert received == 16000
    assert np.abs(samples - expected)[200:].max() < 2e-3


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3000))
def test_samples_do_not_depend_on_how_the_stream_is_cut_into_blocks(chunk: int) -> None:
    wave = tone(0.5, 48000)
    whole, cut = SoundTrack(22050), SoundTrack(22050)
    fill(whole, wave, 48000, wave.shape[1])
    fill(cut, wave, 48000, chunk)
    for track in (whole, cut):
        track.flush()
    assert np.array_equal(whole.read(0, 11025)[0], cut.read(0, 11025)[0])


def test_five_one_folds_down_without_clipping() -> None:
    track = SoundTrack(16000)
    loud = tone(1, 48000, channels=6) / 0.3
    track.push(block(loud, 48000, 0, "5.1"))
    track.flush()
    samples, _ = track.read(1000, 15000)
    assert 0.5 < np.abs(samples).max() <= 1.0


def test_a_gap_reads_as_zeros_and_counts_as_missing() -> None:
    track = SoundTrack(16000)
    fill(track, tone(1, 48000), 48000, 1024)
    fill(track, tone(1, 48000), 48000, 1024, at=2 * 48000)
    track.flush()
    samples, received = track.read(16000, 48000)
    assert received == 16000
    assert not samples[100:15900].any()
    assert samples[16100:].any()


def test_jittering_timestamps_are_not_gaps() -> None:
    exact, jittery = SoundTrack(16000), SoundTrack(16000)
    wave = tone(1, 48000)
    for index, low in enumerate(range(0, 48000, 1000)):
        exact.push(block(wave[:, low : low + 1000], 48000, low))
        jittery.push(block(wave[:, low : low + 1000], 48000, low + (index % 3) * 40))
    for track in (exact, jittery):
        track.flush()
    assert np.array_equal(exact.read(0, 16000)[0], jittery.read(0, 16000)[0])


def test_time_heard_twice_counts_once() -> None:
    track = SoundTrack(16000)
    fill(track, tone(1, 48000), 48000, 1024)
    fill(track, tone(1, 48000, hz=1000), 48000, 1024, at=24000)
    track.flush()
    first, received = track.read(0, 16000)
    assert received == 16000
    expected = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert np.abs(first - expected)[200:15800].max() < 2e-3
    assert track.end == Fraction(3, 2)


def test_a_rate_that_changes_mid_stream_keeps_the_clock() -> None:
    track = SoundTrack(16000)
    fill(track, tone(1, 48000), 48000, 1024)
    for low in range(0, 44100, 1024):
        wave = tone(1, 44100, hz=880)[:, low : low + 1024]
        frame = block(wave, 44100, 44100 + low)
        track.push(frame)
    track.flush()
    samples, received = track.read(16000, 32000)
    expected = 0.3 * np.sin(2 * np.pi * 880 * np.arange(16000) / 16000)
    assert received == 16000
    assert np.abs(samples - expected)[200:15800].max() < 2e-3


def test_memory_is_bounded() -> None:
    track = SoundTrack(8000, capacity=Fraction(2))
    fill(track, tone(10, 8000), 8000, 800)
    assert track.read(0, 8000)[1] == 0
    assert track.read(9 * 8000, 79000)[1] == 7000
    assert track.lost == 8 * 8000
    assert track.received_from(0) == 8 * 8000
    assert track.received_from(79_000) == 79_000
    assert track.received_from(80_000) is None


def test_a_gap_takes_no_room() -> None:
    track = SoundTrack(8000, capacity=Fraction(2))
    fill(track, tone(1, 8000), 8000, 800)
    fill(track, tone(1, 8000), 8000, 800, at=10**12)
    track.flush()
    assert track.read(0, 8000)[1] == track.read(10**12, 10**12 + 8000)[1] == 8000
    assert track.received_from(8000) == 10**12
    assert track.lost == 0


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([8000, 44100, 48000, 96000]),
    st.sampled_from([8000, 16000, 22050, 44100]),
    st.integers(200, 3000),
    st.integers(1, 40),
    st.integers(0, 100_000),
)
def test_a_run_taken_up_in_the_middle_gives_the_same_samples(
    source: int, target: int, chunk: int, skipped: int, origin: int
) -> None:
    rng = np.random.default_rng(skipped)
    wave = rng.uniform(-0.5, 0.5, (2, chunk * (skipped + 1) + source)).astype(np.float32)
    whole, later = SoundTrack(target), SoundTrack(target)
    fill(whole, wave, source, chunk, origin)
    place = whole.place
    assert place is not None
    later.align(place.anchor, chunk * skipped)
    fill(later, wave[:, chunk * skipped :], source, chunk, origin + chunk * skipped)
    assert later.place == place
    for track in (whole, later):
        track.flush()
    warm = round(Fraction(origin + chunk * skipped, source) * target) + target // 4
    end = round(Fraction(origin + wave.shape[1], source) * target)
    assert np.array_equal(whole.read(warm, end)[0], later.read(warm, end)[0])
