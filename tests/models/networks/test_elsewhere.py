"""A tenth aspect, exactly as docs/guides/plugins.md adds it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from streamer.aspects.bank import AspectBank
from streamer.config import load_settings
from streamer.errors import ConfigError
from streamer.models.networks.registry import architecture
from streamer.models.weights.store import WeightStore
from streamer.pipeline.engine import load_extractors
from streamer.timeline import Shot, Sound, Timestamp

PAGE = Path(__file__).parents[3] / "docs" / "guides" / "plugins.md"
BLOCKS = dict(
    re.findall(r'```\w+ title="(.*?)"\n(.*?)```', PAGE.read_text("utf-8"), flags=re.DOTALL)
)
RATE = 16000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the import path that holds the page's package."""
    package = tmp_path / "your_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "loudness.py").write_text(BLOCKS["your_package/loudness.py"])
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "your_package"]:
        del sys.modules[name]


def install(folder: Path) -> None:
    info = folder / "your_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: your-package\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("your_package\n")


def test_the_page_adds_an_aspect(folder: Path) -> None:
    install(folder)
    config = folder / "config.toml"
    config.write_text(BLOCKS["streamer.toml"])
    settings = load_settings(config)
    only = settings.aspects.only(["loudness"])
    (extractor,) = load_extractors(only, WeightStore(folder, offline=True), torch.device("cpu"))
    assert (extractor.aspect, extractor.network) == ("loudness", "your_package.loudness:NETWORK")

    bank = AspectBank([extractor], batch=4, max_interleave=Fraction(3), has_sound=True)
    time = np.arange(4 * RATE) / RATE
    wave = np.sin(2 * np.pi * 440 * time) * np.where(time < 2, 0.5, 0.05)
    frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "flt", "mono")
    frame.sample_rate = RATE
    bank.begin(Fraction(0))
    bank.push_sound(Sound(Timestamp(0, Fraction(1, RATE)), frame))
    bank.end_sound()
    whole = Shot(0, Timestamp(0, Fraction(1)), Timestamp(4, Fraction(1)), "end")
    (shot,) = bank.advance(Fraction(4), [whole])
    levels = shot.tokens["loudness"][:, 0]
    np.testing.assert_allclose(levels, [-9.03, -9.03, -29.03, -29.03], atol=0.1)


def test_a_file_that_merely_lies_there_is_not_run(folder: Path) -> None:
    (folder / "your_package" / "loudness.py").write_text("raise SystemExit('was run')\n")
    with pytest.raises(ConfigError, match="no installed distribution"):
        architecture("your_package.loudness:NETWORK")


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("your_package.loudness:Loudness", "not an Architecture"),
        ("your_package.loudness:absent", "not an Architecture"),
        ("your_package.absent:NETWORK", "cannot be imported"),
        ("streamer.models.networks.yamnet:NETWORK", "weights=False"),
        ("your_package/../x:NETWORK", "not of the form"),
        (":NETWORK", "not of the form"),
        ("your_package.loudness:a.b", "not of the form"),
        (".loudness:NETWORK", "not of the form"),
    ],
)
def test_what_cannot_be_used_is_refused(folder: Path, network: str, reason: str) -> None:
    install(folder)
    with pytest.raises(ConfigError, match=reason):
        architecture(network)


@pytest.mark.parametrize("name", ["place", "extra", "start", "Loud", "a-b", "key_frame_interval"])
def test_names_that_are_taken_or_no_names(tmp_path: Path, name: str) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'[aspects.extra.{name}]\nnetwork = "a:B"\n')
    with pytest.raises(ConfigError, match=rf"aspects: extra\.{name}"):
        load_settings(config)


def test_mistakes_in_an_extra_aspect_are_named(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[aspects.extra.mood]\nnetwork = 3\n")
    with pytest.raises(ConfigError, match=r"aspects\.extra\.mood\.network = 3"):
        load_settings(config)
    config.write_text('[aspects.extra.mood]\nnetwork = "a:B"\nenable = true\n')
    with pytest.raises(ConfigError, match=r"unknown key aspects\.extra\.mood\.enable"):
        load_settings(config)


def test_only_enables_what_is_named() -> None:
    aspects = load_settings().aspects
    chosen = aspects.only(["cast", "place"])
    assert [n for n, section in chosen.slots.items() if section.enabled] == ["place", "cast"]
    assert aspects.only(list(aspects.slots)).action.enabled
    with pytest.raises(ValueError, match=r"no aspect is called smell; there are place, cast"):
        aspects.only(["smell"])
