from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from streamer.errors import ConfigError, DatasetError
from streamer.models.catalogue import ROWS
from streamer.models.dataset.folder import DatasetFolder, write_movie
from streamer.models.mixer.mixer import MixerSize
from streamer.models.tables.results import OFFLINE, FoldResult
from streamer.models.tables.run import make_tables
from streamer.models.training.settings import TrainingSettings
from tests.models.toy import DIMS, SMALL, toy_folder, toy_movie

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.models.training.loop import Progress


def _settings(**changes: object) -> TrainingSettings:
    quick: dict[str, object] = {
        "epochs": 2,
        "inner_epochs": 1,
        "inner_folds": 2,
        "rates": (1e-2,),
        "mixer_epochs": 1,
        "mixer_rate": 1e-2,
        "stride": 4,
        "mixer_stride": 4,
        "size": SMALL,
        "mixer_size": MixerSize(recurrent=6, dense=8, dropout=0.0),
        "sequence": 4,
    }
    return TrainingSettings.model_validate(quick | changes)


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield None
    torch.set_num_threads(before)


def _written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()} if folder.exists() else set()


def test_every_row_learns_toy_movies_with_all_nine_aspects(tmp_path: Path) -> None:
    dims = {**DIMS, "cast": 7, "action": 6, "stft": 9}
    for index in range(4):
        movie = toy_movie(f"m{index}", 60, index, noise=0.2, dims=dims)
        write_movie(tmp_path / "data" / f"m{index}.safetensors", movie)
    settings = _settings(epochs=10, inner_epochs=6, step=8, stride=2, mixer_epochs=3)
    made = make_tables(DatasetFolder(tmp_path / "data"), tmp_path / "out", settings, folds=2)
    assert sorted(name for fold in made.folds for name in fold.test) == ["m0", "m1", "m2", "m3"]
    for fold in made.folds:
        assert list(fold.rows) == [row.name for row in ROWS]
        assert fold.rows["MOAE_A"].f1 > 0.8
        assert fold.rows["Unweighted Averaging"].f1 > 0.8
        assert fold.rows["MOAE_A"].f1 > fold.rows["HLSS_place"].f1
        assert list(fold.lookahead) == ["0", "1", "2", "3", OFFLINE]
        assert fold.lookahead["1"] == fold.rows["MOAE_A"]
        assert fold.missing["nothing"] == fold.rows["MOAE_A"]
        assert fold.missing["all sound"] != fold.missing["nothing"]
        for name, track in fold.tracks.items():
            assert name in fold.test
            assert np.sum(track.weights, axis=1) == pytest.approx(np.ones(59), abs=1e-3)
    assert "n/a" not in made.markdown.split("## Relative gains")[0]
    assert _written(tmp_path / "out") == {
        "tables.md", "table2.csv", "table3.csv", "relations.csv", "folds.csv", "lookahead.csv",
        "missing.csv", "weights.png", "weights.svg", "lookahead.png", "lookahead.svg",
    }  # fmt: skip
    assert (tmp_path / "out" / "weights.png").read_bytes().startswith(b"\x89PNG")
    assert "MME_place_PANNs" in (tmp_path / "out" / "weights.svg").read_text()


def test_rows_whose_aspects_are_missing_are_not_available(tmp_path: Path) -> None:
    for index in range(3):
        movie = toy_movie(f"m{index}", 24, index, dims={"place": 6, "panns": 5})
        write_movie(tmp_path / "data" / f"m{index}.safetensors", movie)
    made = make_tables(DatasetFolder(tmp_path / "data"), tmp_path / "out", _settings(), folds=3)
    assert set(made.folds[0].rows) == {
        "HLSS_place", "HLSS_PANNs", "MME_place_PANNs", "REL_place",
    }  # fmt: skip
    with (tmp_path / "out" / "table3.csv").open() as file:
        assert all(set(row.values()) == {row["row"], "n/a"} for row in csv.DictReader(file))
    assert not (tmp_path / "out" / "weights.png").exists()
    assert "n/a, for aspects are missing: HLSS_cast" in made.markdown


def test_a_killed_run_goes_on_to_the_same_tables(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path / "data", 3, 20)
    whole = make_tables(folder, tmp_path / "whole", _settings(), folds=3)

    class Killed(Exception):
        pass

    told: list[str] = []

    def report(label: str, _progress: Progress) -> None:
        told.append(label)
        if len(told) in (7, 60, 90):
            raise Killed

    for _ in range(3):
        with pytest.raises(Killed):
            make_tables(folder, tmp_path / "out", _settings(), folds=3, report=report)
        assert not _written(tmp_path / "out")
    again = make_tables(folder, tmp_path / "out", _settings(), folds=3, report=report)

    def timeless(fold: FoldResult) -> FoldResult:
        return fold.model_copy(update={"seconds": {}, "cpu": {}})

    assert [timeless(fold) for fold in again.folds] == [timeless(fold) for fold in whole.folds]
    before = len(told)
    make_tables(folder, tmp_path / "out", _settings(), folds=3, report=report)
    assert len(told) == before
    for name in ("table2.csv", "table3.csv", "relations.csv", "weights.svg", "lookahead.svg"):
        ours, theirs = tmp_path / "out" / name, tmp_path / "whole" / name
        assert ours.read_bytes() == theirs.read_bytes()


def test_named_movies_test_at_several_seeds(tmp_path: Path) -> None:
    for index in range(4):
        movie = toy_movie(f"m{index}", 20, index, dims={"place": 6, "panns": 5})
        write_movie(tmp_path / "data" / f"m{index}.safetensors", movie)
    folder, out = DatasetFolder(tmp_path / "data"), tmp_path / "out"
    one = make_tables(folder, out, _settings(), test=("m3", "m1"))
    assert [fold.test for fold in one.folds] == [("m1", "m3")]
    told: list[str] = []
    two = make_tables(
        folder,
        out,
        _settings(),
        test=("m1", "m3"),
        seeds=2,
        report=lambda label, _: told.append(label),
    )
    assert two.folds[0] == one.folds[0]
    assert {label.partition(" HLSS")[0].partition(" MME")[0] for label in told} == {"seed 2/2"}
    scores = [fold.rows["HLSS_place"] for fold in two.folds]
    assert scores[0] != scores[1]
    mean, spread = (
        np.mean([each.f1 for each in scores]),
        np.std([each.f1 for each in scores], ddof=1),
    )
    assert f"{100 * mean:.1f} ± {100 * spread:.1f}" in two.markdown
    assert "deviation over seeds" in two.markdown
    assert "the same movies test in each training, seeds 0, 1." in two.markdown
    alone = make_tables(folder, tmp_path / "alone", _settings(seed=1), test=("m1", "m3"))
    assert alone.folds[0].rows == two.folds[1].rows
    with pytest.raises(ConfigError, match="several seeds need movies to test on"):
        make_tables(folder, out, _settings(), seeds=2)
    with pytest.raises(DatasetError, match="no movie 'm9' to test on"):
        make_tables(folder, out, _settings(), test=("m9",))
    with pytest.raises(DatasetError, match="every movie is to be tested on"):
        make_tables(folder, out, _settings(), test=("m0", "m1", "m2", "m3"))


def test_odd_movies_are_measured_like_others(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for index in range(7):
        write_movie(folder / f"m{index}.safetensors", toy_movie(f"m{index}", 24, index))
    for name, shots in (("one-scene", 9), ("two-shots", 2), ("one-shot", 1)):
        movie = toy_movie(name, shots, 3)
        boundary = np.zeros(shots, dtype=np.bool_)
        write_movie(
            folder / f"{name}.safetensors",
            type(movie)(name, movie.start, movie.end, boundary, movie.aspects, movie.extractors),
        )
    made = make_tables(DatasetFolder(folder), tmp_path / "out", _settings(), folds=2)
    assert "MOAE_A" in made.folds[0].rows
    assert "Without any scene boundary, and so without AP: one-scene, one-shot, two-shots" in (
        made.markdown
    )


def test_what_cannot_be_compared_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    one = toy_folder(tmp_path / "one", 1, 20)
    with pytest.raises(DatasetError, match="5 folds by movie need at least 5 movies"):
        make_tables(one, out, _settings())
    two = toy_folder(tmp_path / "two", 2, 20)
    with pytest.raises(DatasetError, match="inner folds need at least two training movies"):
        make_tables(two, out, _settings(), folds=2)
    with pytest.raises(ConfigError, match="at least 2 are needed"):
        make_tables(two, out, _settings(inner_folds=0), folds=2)
    with pytest.raises(DatasetError, match="there is no movie 'other'"):
        make_tables(two, out, _settings(), folds=2, movie="other")
    write_movie(tmp_path / "odd" / "a.safetensors", toy_movie("a", 12, 1, dims={"smell": 3}))
    with pytest.raises(DatasetError, match="has only smell: no row can be trained"):
        make_tables(DatasetFolder(tmp_path / "odd"), out, _settings(), folds=2)
    quiet = toy_movie("m1", 20, 1)
    nothing = np.zeros(20, dtype=np.bool_)
    write_movie(
        two.path / "m1.safetensors",
        type(quiet)("m1", quiet.start, quiet.end, nothing, quiet.aspects, quiet.extractors),
    )
    with pytest.raises(DatasetError, match=r"no scene boundary to (find|learn from)"):
        make_tables(two, out, _settings(), folds=2)
    assert not _written(out)


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path / "data", 3, 16)
    make_tables(folder, tmp_path / "out", _settings(epochs=1), folds=3)
    (result,) = (tmp_path / "out" / "state").glob("*/fold1.json")
    broken = json.loads(result.read_text())
    broken["rows"]["HLSS_place"]["f1"] = "high"
    result.write_text(json.dumps(broken))
    with pytest.raises(DatasetError, match=r"fold1\.json is damaged; delete it"):
        make_tables(folder, tmp_path / "out", _settings(epochs=1), folds=3)
