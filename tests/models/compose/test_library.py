from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import ComposeError
from streamer.models.compose.library import TRAIN_SHARE, Library, scan, side_of

KINDS = ("places", "people", "speech", "ambience", "music", "effects")


def units(library: Library, kind: str) -> set[str]:
    return {item.unit for item in getattr(library, kind)}


def test_units_follow_the_names(library: Library) -> None:
    assert len(library.places) == 16
    assert units(library, "speech") == {str(n) for n in range(8)}
    assert units(library, "effects") == {str(1000 + n) for n in range(6)}
    twins = [p.name for p in library.places if p.unit == "group:twins"]
    assert sorted(twins) == ["place3", "place9"]
    assert [v.name for v in library.places[0].views] == ["0.png", "1.png", "2.png"]
    assert library.places[0].indoor is True


def test_sides_share_no_unit_and_lose_none(library: Library) -> None:
    train, test = library.side("train"), library.side("test")
    for kind in KINDS:
        assert units(train, kind).isdisjoint(units(test, kind)), kind
        assert units(train, kind) | units(test, kind) == units(library, kind)
        files = len(getattr(train, kind)) + len(getattr(test, kind))
        assert files == len(getattr(library, kind))
    assert library.side(None) == library


@given(st.sampled_from(KINDS), st.text(min_size=1, max_size=40))
def test_a_side_depends_on_the_unit_alone(kind: str, unit: str) -> None:
    assert side_of(kind, unit) == side_of(kind, unit)
    assert side_of(kind, unit) in ("train", "test")


def test_the_share_of_training_units_is_as_stated() -> None:
    count = sum(side_of("places", f"unit {n}") == "train" for n in range(4000))
    assert count / 4000 == pytest.approx(TRAIN_SHARE, abs=0.03)


def test_what_is_no_media_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="not a media folder"):
        scan(tmp_path / "nothing")
    with pytest.raises(ComposeError, match="no folder with at least two pictures"):
        scan(tmp_path)


def test_a_damaged_index_is_refused(media: Path, tmp_path: Path) -> None:
    shutil.copytree(media / "places" / "place0", tmp_path / "places" / "place0")
    for text in ("{", "[]", '{"place0": 3}'):
        (tmp_path / "places" / "index.json").write_text(text)
        with pytest.raises(ComposeError, match=r"index\.json"):
            scan(tmp_path)
