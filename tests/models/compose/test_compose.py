from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.errors import ComposeError
from streamer.models.compose.compose import Order, compose, compose_film, plan_film
from streamer.models.compose.library import Library


@pytest.fixture(scope="module")
def order(media: Path, tmp_path_factory: pytest.TempPathFactory) -> Order:
    return Order(
        media=media,
        out=tmp_path_factory.mktemp("films"),
        movies=1,
        minutes=0.3,
        seed=11,
        width=128,
        height=72,
        rate=Fraction(24000, 1001),
        sound="full",
        median_shots=4.0,
    )


@pytest.fixture(scope="module")
def film(order: Order) -> Path:
    (name,) = compose(order)
    return order.out / name


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def pictures(path: Path) -> list[tuple[Fraction, NDArray[np.uint8]]]:
    with av.open(path) as container:
        found = []
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            gray = frame.to_ndarray(format="gray").astype(np.uint8)
            found.append((frame.pts * frame.time_base, gray))
        return found


def digest(path: Path) -> str:
    total = hashlib.sha256()
    with av.open(path) as container:
        for frame in container.decode():
            assert isinstance(frame, av.VideoFrame | av.AudioFrame)
            total.update(np.ascontiguousarray(frame.to_ndarray()).tobytes())
    return total.hexdigest()


@pytest.mark.slow
def test_annotations_tile_the_film_and_agree(order: Order, film: Path) -> None:
    scenes, shots = rows(film.with_suffix(".scenes.csv")), rows(film.with_suffix(".shots.csv"))
    facts = json.loads(film.with_suffix(".json").read_text())
    assert list(scenes[0]) == ["start", "end"]
    frames = pictures(film.with_suffix(".mp4"))
    assert len(frames) == facts["frames"]
    for table in (scenes, shots):
        assert table[0]["start"] == "0.000000"
        assert all(a["end"] == b["start"] for a, b in pairwise(table))
        assert float(table[-1]["end"]) == pytest.approx(float(len(frames) / order.rate), abs=1e-6)
    starts = {row["start"] for row in shots}
    assert {row["start"] for row in scenes} <= starts
    times = np.array([float(t) for t, _ in frames])
    for row in shots:
        assert np.abs(times - float(row["start"])).min() < 2e-4


def test_hard_cuts_lie_on_the_frames_that_change_most(order: Order, film: Path) -> None:
    frames = [p.astype(np.int16) for _, p in pictures(film.with_suffix(".mp4"))]
    change = [0.0, *(float(np.abs(b - a).mean()) for a, b in pairwise(frames))]
    shots = rows(film.with_suffix(".shots.csv"))
    cuts = [round(float(r["start"]) * order.rate) for r in shots if r["transition"] == "cut"]
    assert len(cuts) >= 3
    for cut in cuts:
        around = change[cut - 3 : cut] + change[cut + 1 : cut + 4]
        assert change[cut] > 1.5 * max(around)


def test_sound_is_as_long_as_the_picture(order: Order, film: Path) -> None:
    with av.open(film.with_suffix(".mp4")) as container:
        sound = container.streams.audio[0]
        samples = np.concatenate(
            [f.to_ndarray().reshape(-1) for f in container.decode(sound)], dtype=np.float32
        )
        rate, channels = sound.rate, sound.channels
    seconds = float(rows(film.with_suffix(".shots.csv"))[-1]["end"])
    assert samples.size / rate / channels == pytest.approx(seconds, abs=0.12)
    assert samples.std() > 0.003


@pytest.mark.slow
def test_the_same_order_makes_the_same_film(order: Order, film: Path, tmp_path: Path) -> None:
    again = replace(order, out=tmp_path, movies=2)
    names = compose(again, jobs=2)
    assert names[0] == film.name
    for suffix in (".scenes.csv", ".shots.csv", ".json"):
        first = film.with_suffix(suffix).read_text()
        assert first == (tmp_path / film.name).with_suffix(suffix).read_text()
    assert digest(film.with_suffix(".mp4")) == digest(tmp_path / f"{film.name}.mp4")
    assert digest(tmp_path / f"{names[1]}.mp4") != digest(film.with_suffix(".mp4"))
    assert len(list(tmp_path.iterdir())) == 8


def test_a_whole_film_is_kept_and_another_order_is_refused(order: Order, film: Path) -> None:
    before = film.with_suffix(".mp4").stat().st_mtime_ns
    told: list[str] = []
    compose(order, done=told.append)
    assert told == [film.name]
    assert film.with_suffix(".mp4").stat().st_mtime_ns == before
    with pytest.raises(ComposeError, match="other options"):
        compose(replace(order, minutes=0.4))


@pytest.mark.parametrize("sound", ["none", "silent"])
def test_films_without_sound(order: Order, tmp_path: Path, sound: str) -> None:
    quiet = replace(order, out=tmp_path, minutes=0.05, sound=sound)  # type: ignore[arg-type]  # parametrized by its literals
    compose_film(quiet, 0)
    with av.open(tmp_path / f"{quiet.name(0)}.mp4") as container:
        assert len(container.streams.video) == 1
        assert len(container.streams.audio) == (0 if sound == "none" else 1)
        if sound == "silent":
            assert all((f.to_ndarray() == 0).all() for f in container.decode(audio=0))


def test_sides_never_share_a_unit(order: Order, library: Library) -> None:
    used: dict[str, dict[str, set[str]]] = {}
    for side in ("train", "test"):
        part = library.side(side)
        groups = {p.name: p.unit for p in part.places}
        for index in range(3):
            plan = plan_film(replace(order, minutes=3.0), part, index)
            kinds = used.setdefault(side, {})
            kinds.setdefault("places", set()).update(groups[s.place] for s in plan.shots)
            for figure in (f for s in plan.shots for f in s.figures):
                kinds.setdefault("people", set()).add(figure.person)
            for event in plan.sounds:
                kinds.setdefault(event.layer, set()).add(event.unit)
    assert set(used["train"]) == {"places", "people", "speech", "ambience", "music", "effects"}
    for kind, units in used["train"].items():
        assert units.isdisjoint(used["test"].get(kind, set())), kind


def test_the_annotation_names_what_was_used(film: Path, order: Order) -> None:
    facts = json.loads(film.with_suffix(".json").read_text())
    assert facts["split"] is None
    assert set(facts["units"]) == {"places", "people", "speech", "ambience", "music", "effects"}
    assert facts["units"]["places"]
    places = {p for scene in facts["scenes"] for p in scene["places"]}
    assert set(facts["places"]) <= places
    assert facts["rate"] == "24000/1001"


def test_a_damaged_picture_leaves_nothing_behind(order: Order, media: Path, tmp_path: Path) -> None:
    shutil.copytree(media, tmp_path / "media")
    for view in (tmp_path / "media" / "places").glob("*/*.png"):
        view.write_bytes(view.read_bytes()[:200])
    broken = replace(order, media=tmp_path / "media", out=tmp_path / "out")
    with pytest.raises(ComposeError, match="not a readable picture"):
        compose(broken)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 127}, "even"),
        ({"height": 32}, "at least 64"),
        ({"minutes": 0.0}, "minutes"),
        ({"rate": Fraction(1)}, "frames a second"),
        ({"seed": -1}, "seed"),
        ({"width": 8192, "height": 4096}, "larger"),
        ({"most_shots": 50}, "40 shots"),
    ],
)
def test_what_cannot_be_composed_is_refused(
    order: Order, change: dict[str, object], words: str
) -> None:
    with pytest.raises(ComposeError, match=words):
        compose(replace(order, **change))  # type: ignore[arg-type]  # names from the table above
