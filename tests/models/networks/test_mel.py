from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from streamer.models.networks.mel import (
    Scale,
    frames_to_samples,
    hertz_to_mel,
    magnitudes,
    mel_filters,
    mel_to_hertz,
)


def test_slaney_scale_at_hand_values() -> None:
    # 15 mels at 1 kHz; 27 more reach 6.4 kHz (Auditory Toolbox).
    mels = hertz_to_mel(np.array([0.0, 200.0, 1000.0, 6400.0]), "slaney")
    np.testing.assert_allclose(mels, [0.0, 3.0, 15.0, 42.0], atol=1e-12)


def test_htk_scale_at_hand_values() -> None:
    mels = hertz_to_mel(np.array([0.0, 700.0, 1000.0]), "htk")
    np.testing.assert_allclose(
        mels, [0.0, 1127.0 * math.log(2.0), 1127.0 * math.log(17.0 / 7.0)], atol=1e-9
    )


@pytest.mark.parametrize("scale", ["slaney", "htk"])
@given(hertz=st.floats(0.0, 24000.0))
def test_scales_invert(scale: Scale, hertz: float) -> None:
    back = mel_to_hertz(hertz_to_mel(np.array([hertz]), scale), scale)
    assert back[0] == pytest.approx(hertz, abs=1e-6)


def test_a_filter_by_hand() -> None:
    # Edges 0, 500, 1000 Hz lie on bins 0, 2, 4 of 250 Hz each; unit area is 2 / 1000 Hz.
    weights = mel_filters(2000, 8, 1, low=0.0, high=1000.0)
    np.testing.assert_allclose(weights[:, 0], [0.0, 0.001, 0.002, 0.001, 0.0], atol=1e-9)


def test_slopes_over_mels_are_straight_in_mels_and_leave_out_the_first_bin() -> None:
    weights = mel_filters(16000, 512, 64, scale="htk", slopes="mel", unit_area=False)
    assert weights[0].eq(0).all()
    top = hertz_to_mel(np.array([8000.0]), "htk")[0]
    edges = np.linspace(0.0, top, 66)
    position = hertz_to_mel(np.array([100 * 16000 / 512]), "htk")[0]
    band = int(np.searchsorted(edges, position)) - 1
    expected = (edges[band + 1] - position) / (edges[band + 1] - edges[band])
    assert weights[100, band - 1].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("scale", ["slaney", "htk"])
def test_neighbouring_filters_add_up_to_one_between_their_peaks(scale: Scale) -> None:
    weights = mel_filters(16000, 512, 40, scale=scale, unit_area=False)
    peaks = weights.argmax(dim=0)
    inside = weights[peaks[0] + 1 : peaks[-1]].sum(dim=1)
    torch.testing.assert_close(inside, torch.ones_like(inside), atol=1e-5, rtol=0)


def test_unit_area_makes_white_noise_flat() -> None:
    weights = mel_filters(44100, 2048, 96, scale="htk")
    areas = weights.sum(dim=0) * (44100 / 2048)
    torch.testing.assert_close(areas[20:], torch.ones(76), atol=0.05, rtol=0)


def test_a_tone_peaks_in_its_own_band() -> None:
    time = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 1000 * time)[None]
    spectrum = magnitudes(tone, torch.hann_window(400), 160, 512)
    # A unit sine under a window of sum 200 has magnitude 100 at its bin.
    assert spectrum.shape == (1, 98, 257)
    assert spectrum[0, :, 32].mean().item() == pytest.approx(100.0, rel=0.01)
    assert spectrum.mean(dim=1).argmax().item() == 32


@given(frames=st.integers(1, 50), width=st.integers(2, 64), hop=st.integers(1, 64))
def test_windows_hold_exactly_their_frames(frames: int, width: int, hop: int) -> None:
    samples = frames_to_samples(frames, width, hop)
    assert magnitudes(torch.zeros(1, samples), torch.ones(width), hop, 64).shape[1] == frames
    if samples > width:
        shorter = magnitudes(torch.zeros(1, samples - 1), torch.ones(width), hop, 64)
        assert shorter.shape[1] == frames - 1
