from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.aspects.track import SoundTrack, clean
from streamer.samples import samples_of
from streamer.timeline import Sound, Timestamp


def block(samples: np.ndarray, kind: str, layout: str, rate: int = 16000) -> Sound:
    frame = av.AudioFrame.from_ndarray(samples, kind, layout)
    frame.sample_rate = rate
    frame.pts = 7
    return Sound(Timestamp(7, Fraction(1, rate)), frame)


def wave(channels: int, count: int = 1600) -> np.ndarray:
    return np.random.default_rng(1).uniform(-0.5, 0.5, (channels, count)).astype(np.float32)


def test_a_usual_block_keeps_its_samples_and_loses_its_timestamp() -> None:
    samples = wave(2)
    given = block(samples, "fltp", "stereo")
    made = clean(given)
    assert (made.frame.pts, given.frame.pts) == (None, 7)
    assert (made.start.pts, made.frame.sample_rate, made.frame.layout.name) == (7, 16000, "stereo")
    assert np.array_equal(samples_of(made.frame).T, samples)


@pytest.mark.parametrize("kind", ["fltp", "dblp"])
def test_samples_that_are_no_numbers_become_silence(kind: str) -> None:
    samples = wave(2).astype(np.float32 if kind == "fltp" else np.float64)
    samples[0, 100:200], samples[1, 300:400] = np.nan, -np.inf
    made = clean(block(samples, kind, "stereo")).frame
    assert (made.layout.name, made.sample_rate, made.pts) == ("stereo", 16000, None)
    expected = samples.copy()
    expected[0, 100:200] = expected[1, 300:400] = 0
    assert np.array_equal(samples_of(made).T, expected)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("kind", ["s16", "s16p", "u8", "s32", "flt", "fltp", "dbl"])
def test_channels_without_a_place_are_averaged(channels: int, kind: str) -> None:
    flat = wave(channels)
    scale = {"s16": 32767, "u8": 127, "s32": 2**31 - 1}.get(kind.removesuffix("p"), 1)
    types = {"s16": np.int16, "u8": np.uint8, "s32": np.int32, "flt": np.float32}
    dtype = types.get(kind.removesuffix("p"), np.float64)
    levels = (flat * scale + (128 if kind == "u8" else 0)).astype(dtype)
    shaped = levels if kind.endswith("p") else levels.T.reshape(1, -1)
    made = clean(block(np.ascontiguousarray(shaped), kind, f"{channels} channels")).frame
    assert (made.layout.name, made.format.name) == ("mono", kind.removesuffix("p"))
    mean = levels.astype(np.float64).mean(axis=0)
    near = 1e-6 if np.issubdtype(dtype, np.floating) else 0.5
    assert np.abs(made.to_ndarray()[0] - mean).max() <= near


def test_a_plain_wav_can_be_read_at_several_rates(tmp_path: Path) -> None:
    path = tmp_path / "plain.wav"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=16000, layout="mono")
        tone = np.sin(np.arange(16000) * 0.1)[None, :] * 10000
        frame = av.AudioFrame.from_ndarray(tone.astype(np.int16), "s16", "mono")
        frame.sample_rate = 16000
        output.mux([*stream.encode(frame), *stream.encode(None)])
    tracks = [SoundTrack(16000), SoundTrack(44100), SoundTrack(8000)]
    at = 0
    with av.open(str(path)) as source:
        for decoded in source.decode(audio=0):
            # Decoders name no layout for files that name none.
            assert decoded.layout.name == "1 channels"
            made = clean(Sound(Timestamp(at, Fraction(1, 16000)), decoded))
            at += decoded.samples
            for track in tracks:
                track.push(made)
    for track in tracks:
        track.flush()
        samples, received = track.read(0, track.rate)
        assert received >= track.rate - 1
        assert np.abs(samples).max() == pytest.approx(10000 / 32768, abs=1e-2)
