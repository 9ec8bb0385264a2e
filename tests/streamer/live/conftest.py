"""A cheap engine and a film with known cuts."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.films import pictures
from tests.media import Recipe, Tone, write_film
from tests.streamer.live.engine import toy_engine

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.pipeline.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Engine:
    return toy_engine()


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve shots of 1.2 s with sound, as a broadcast."""
    path = tmp_path_factory.mktemp("live") / "film.ts"
    recipe = Recipe(rate=Fraction(25), codec="mpeg2video", sound=Tone(12 * 1.2))
    write_film(path, pictures(12, 30, 96, 64), recipe)
    return path
