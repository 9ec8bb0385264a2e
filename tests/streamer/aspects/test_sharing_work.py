"""Work that several aspects need is done once; counted, not assumed."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import combinations

import av
import numpy as np
import pytest
import torch

from streamer.aspects import track
from streamer.aspects.bank import AspectBank
from streamer.aspects.track import SoundTrack
from streamer.aspects.video import Resizer
from streamer.config.sections import AspectsSection
from streamer.extractor import ClipInput, Extractor, PictureInput, SoundInput
from streamer.models.networks.base import TorchExtractor
from streamer.models.networks.registry import build
from streamer.models.weights.store import WeightStore
from streamer.timeline import Picture, Shot, Sound, Timestamp
from tests.media import texture

SECONDS = 6
PICTURES = 10
MS = Fraction(1, 1000)


@pytest.fixture(scope="module")
def extractors(weight_store: WeightStore) -> list[Extractor]:
    """All nine, and three of them twice: under another name they want the same pieces."""
    slots = AspectsSection().slots
    made = [
        build(aspect, section.network, weight_store, torch.device("cpu"), Fraction(2))
        for aspect, section in slots.items()
    ]
    return made + [each for each in made if each.aspect in {"place", "vggish", "action"}]


def test_one_resampling_a_rate_one_resize_a_size_one_read_a_window(
    extractors: list[Extractor], monkeypatch: pytest.MonkeyPatch
) -> None:
    resampled: Counter[int] = Counter()
    resized: Counter[tuple[int, int]] = Counter()
    read: Counter[tuple[int, int, int]] = Counter()
    resampler, resize, reading = av.AudioResampler, Resizer.__call__, SoundTrack.read

    def counted_resampler(*, format: str, layout: str, rate: int) -> av.AudioResampler:  # noqa: A002 -- PyAV's name
        resampled[rate] += 1
        return resampler(format=format, layout=layout, rate=rate)

    def counted_resize(self: Resizer, picture: Picture) -> torch.Tensor:
        resized[self._height, self._width] += 1
        return resize(self, picture)

    def counted_read(self: SoundTrack, start: int, end: int) -> tuple[object, int]:
        read[self.rate, start, end] += 1
        return reading(self, start, end)

    monkeypatch.setattr(track, "AudioResampler", counted_resampler)
    monkeypatch.setattr(Resizer, "__call__", counted_resize)
    monkeypatch.setattr(SoundTrack, "read", counted_read)
    shown(extractors)

    specs = [each.input for each in extractors]
    rates = {spec.rate for spec in specs if isinstance(spec, SoundInput)}
    assert resampled == dict.fromkeys(rates, 1)
    assert len(rates) < sum(isinstance(spec, SoundInput) for spec in specs)
    key_frames = 1 + (SECONDS * 10 - 2) // 20
    for spec in specs:
        if isinstance(spec, PictureInput):
            assert resized[spec.height, spec.width] == key_frames
        elif isinstance(spec, ClipInput):
            assert resized[spec.height, spec.width] == SECONDS * PICTURES
    kinds = {spec for spec in specs if isinstance(spec, SoundInput)}
    windows = sum((SECONDS * kind.rate - kind.window) // kind.hop + 1 for kind in kinds)
    assert windows <= sum(read.values()) <= windows + len(kinds)


def shown(extractors: list[Extractor]) -> None:
    """A shot of six seconds with all extractors."""
    bank = AspectBank(extractors, batch=4, max_interleave=Fraction(3), has_sound=True)
    bank.begin(Fraction(0))
    frame = av.VideoFrame.from_ndarray(texture(1, 320, 180), "rgb24")
    samples = np.random.default_rng(0).uniform(-0.4, 0.4, (1, 48000)).astype(np.float32)
    for second in range(SECONDS):
        block = av.AudioFrame.from_ndarray(samples.copy(), "flt", "mono")
        block.sample_rate = 48000
        bank.push_sound(Sound(Timestamp(second * 48000, Fraction(1, 48000)), block))
        for part in range(PICTURES):
            at = second * 1000 + part * 1000 // PICTURES
            bank.push_picture(Picture(Timestamp(at, MS), frame))
            bank.advance(Fraction(at, 1000), ())
    bank.end_sound()
    shot = Shot(0, Timestamp(0, MS), Timestamp(SECONDS * 1000, MS), "end")
    (done,) = bank.advance(Fraction(SECONDS), [shot])
    assert {"place", "vggish", "panns", "speaker", "openl3", "musicnn"} <= set(done.tokens)


def test_no_two_networks_have_the_same_front_end(extractors: list[Extractor]) -> None:
    """Where two had the same mel filters and frames, they would have to share them."""
    fronts: dict[str, dict[str, torch.Tensor]] = {}
    for each in extractors:
        assert isinstance(each, TorchExtractor)
        buffers = dict(each.module.named_buffers())
        buffers = {name.removeprefix("mel."): buffer for name, buffer in buffers.items()}
        if isinstance(each.input, SoundInput) and "filters" in buffers:
            fronts[each.network] = {name: buffers[name] for name in ("filters", "window")}
    assert len(fronts) >= 4
    for (one, first), (other, second) in combinations(fronts.items(), 2):
        same = all(
            first[name].shape == second[name].shape and torch.equal(first[name], second[name])
            for name in first
        )
        assert not same, (one, other)
