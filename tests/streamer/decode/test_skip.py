"""Passing over the beginning gives the same pictures from there on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from streamer.connectors.sources.file import FileSource
from streamer.decode import packets
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.timeline import Picture, Sound
from tests.acceptance.films import pictures
from tests.media import Recipe, Tone, write_film

CODECS = {
    "mpeg2video": {"g": "12", "bf": "2"},
    "libx264": {"g": "20", "bf": "2", "x264-params": "open-gop=1"},
    "mpeg4": {"g": "300"},
}


@pytest.fixture(scope="module", params=list(CODECS))
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("skip") / "film.mkv"
    options = CODECS[request.param]
    recipe = Recipe(codec=request.param, options=options, sound=Tone(6.0))
    write_film(path, pictures(5, 30, 96, 64), recipe)
    return path


def decoded(film: Path, begin: Fraction | None) -> tuple[list[Picture], list[Sound]]:
    with Decoder(FileSource(film), DecodeOptions(), begin=begin) as decoder:
        items = list(decoder)
        assert decoder.stats.restarts == 0
    return (
        [item for item in items if isinstance(item, Picture)],
        [item for item in items if isinstance(item, Sound)],
    )


@pytest.mark.slow
@pytest.mark.parametrize("begin", [Fraction(0), Fraction(29, 25), Fraction(92, 25), Fraction(99)])
def test_pictures_from_the_place_on_are_the_same(film: Path, begin: Fraction) -> None:
    whole, heard = decoded(film, None)
    part, warm = decoded(film, begin)
    expected = [picture for picture in whole if picture.start.seconds >= begin]
    got = [picture for picture in part if picture.start.seconds >= begin]
    assert [one.start for one in got] == [one.start for one in expected]
    for one, other in zip(got[:3], expected[:3], strict=True):
        assert np.array_equal(one.frame.to_ndarray(), other.frame.to_ndarray())
    if begin < 6:
        first = min(sound.start.seconds for sound in warm)
        assert first <= max(begin - packets.WARM_UP + Fraction(1, 20), heard[0].start.seconds)
    if begin == Fraction(92, 25):
        # One of the films has a single key picture, at its beginning.
        key_pictures = sum(bool(picture.frame.key_frame) for picture in whole)
        assert (len(part) < len(whole) - 50) == (key_pictures > 1)


def test_what_is_held_back_is_bounded(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packets, "MAX_SKIPPED_BYTES", 2000)
    part, _ = decoded(film, Fraction(5))
    whole, _ = decoded(film, None)
    assert [p.start for p in part if p.start.seconds >= 5] == [
        p.start for p in whole if p.start.seconds >= 5
    ]
