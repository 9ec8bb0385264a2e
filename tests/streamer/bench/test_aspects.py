"""The measurement measures what it says: token counts are known, times are times."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from streamer.bench import aspects
from streamer.config.sections import AspectsSection
from streamer.extractor import Extractor
from streamer.models.networks.base import TorchExtractor
from streamer.models.networks.registry import build
from streamer.models.weights.store import WeightStore
from tests.media import Clip, Recipe, Tone, frames_of, panning, write_film


@pytest.fixture(scope="module")
def extractors(weight_store: WeightStore) -> dict[str, Extractor]:
    slots = AspectsSection().slots
    return {
        name: build(name, slots[name].network, weight_store, torch.device("cpu"), Fraction(2))
        for name in ("place", "openl3", "action", "stft")
    }


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "film.mp4"
    rate = Fraction(25)
    clips = [Clip(panning(1, 160, 90), 25 * 13)]
    write_film(path, frames_of(clips, rate), Recipe(rate=rate, sound=Tone(13.0)))
    return path


def test_a_film_gives_the_tokens_that_its_length_says(
    extractors: dict[str, Extractor], film: Path
) -> None:
    threads = torch.get_num_threads()
    cost = aspects.measure_film(list(extractors.values()), film, 12)
    assert torch.get_num_threads() == threads
    # Two whole shots of four seconds: the third ends with the input and stays open.
    per_shot = {"place": 2, "openl3": 1, "action": 4, "stft": 6}
    assert cost.tokens == 2 * sum(per_shot.values())
    assert 11.9 < cost.seconds <= 12
    assert cost.cpu > 0


@pytest.mark.parametrize("name", ["place", "openl3", "stft"])
def test_rates_and_costs_of_a_slot(extractors: dict[str, Extractor], film: Path, name: str) -> None:
    extractor = extractors[name]
    cost = aspects.measure_slot(extractor, film, 8)
    assert (cost.aspect, cost.network) == (name, extractor.network)
    assert cost.rate == pytest.approx({"place": 0.5, "openl3": 1 / 3, "stft": 16000 / 10880}[name])
    assert 0 < cost.plain < 1
    assert 0 < cost.streamed < 1


def test_batches_streams_and_closeness(
    extractors: dict[str, Extractor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aspects, "_LEAST_SECONDS", 0.02)
    curve = aspects.measure_batches(extractors["stft"], (1, 4))
    assert list(curve) == [1, 4]
    assert all(rate > 0 for rate in curve.values())
    assert aspects.measure_streams([extractors["stft"], extractors["openl3"]], 2) > 0
    stft = extractors["stft"]
    assert isinstance(stft, TorchExtractor)
    assert aspects.cosine(stft) is None
    close = aspects.cosine(replace(stft, autocast=torch.bfloat16))
    assert close is not None
    assert 0.999 <= close <= 1.0001
