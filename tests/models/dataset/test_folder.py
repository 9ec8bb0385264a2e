from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from streamer.errors import DatasetError
from streamer.models.dataset.folder import DatasetFolder, read_movie, write_movie
from streamer.models.dataset.movie import AspectTokens, Movie
from tests.models.toy import toy_folder, toy_movie

if TYPE_CHECKING:
    from pathlib import Path

EXTRACTORS = {"extractors": json.dumps({"place": "net"})}


def _tensors(shots: int = 4) -> dict[str, np.ndarray]:
    start = np.arange(shots, dtype=np.float64)
    return {
        "start": start,
        "end": start + 1.0,
        "boundary": np.array([0, 1, 0, 1][:shots], dtype=np.uint8),
        "place": np.ones((shots, 3), dtype=np.float32),
    }


def _written(path: Path, tensors: dict[str, np.ndarray]) -> Path:
    file = path / "film.safetensors"
    save_file(tensors, file, metadata=EXTRACTORS)
    return file


@pytest.mark.parametrize("half", [True, False])
def test_round_trip(tmp_path: Path, half: bool) -> None:
    movie = toy_movie("film", 30, 1, missing=0.2)
    write_movie(tmp_path / "film.safetensors", movie, half=half)
    read = DatasetFolder(tmp_path).read("film")
    assert read.name == "film"
    assert read.extractors == movie.extractors
    np.testing.assert_array_equal(read.start, movie.start)
    np.testing.assert_array_equal(read.boundary, movie.boundary)
    for name, held in movie.aspects.items():
        np.testing.assert_array_equal(read.aspects[name].offsets, held.offsets)
        tolerance = 1e-3 if half else 0.0
        np.testing.assert_allclose(
            read.aspects[name].tokens, held.tokens, rtol=tolerance, atol=tolerance
        )


def test_both_layouts_of_an_aspect(tmp_path: Path) -> None:
    tensors = _tensors()
    cube = np.arange(24, dtype=np.float32).reshape(4, 2, 3)
    tensors |= {"panns": cube, "panns.length": np.array([2, 0, 1, 2], dtype=np.int32)}
    movie = read_movie(_written(tmp_path, tensors))
    assert movie.aspects["place"].lengths.tolist() == [1, 1, 1, 1]
    assert movie.extractors == {"place": "net", "panns": "unknown"}
    assert movie.aspects["panns"].lengths.tolist() == [2, 0, 1, 2]
    np.testing.assert_array_equal(movie.aspects["panns"].shot(2), cube[2, :1])
    assert movie.labels.tolist() == [False, True, False]


def _nan(values: np.ndarray, *index: int) -> np.ndarray:
    changed = values.copy()
    changed[index] = np.nan
    return changed


CASES = {
    "tensor boundary is missing": lambda t: t.pop("boundary"),
    "tensor start has no shots": lambda t: t.update(start=np.zeros(0)),
    "tensor start is float32": lambda t: t.update(start=t["start"].astype(np.float32)),
    r"tensor end is float64 \(3,\)": lambda t: t.update(end=t["end"][:3].copy()),
    "tensor start, row 2: not finite": lambda t: t.update(start=_nan(t["start"], 2)),
    "tensor end, row 1: the shot ends at": lambda t: t.update(end=t["end"] - [0, 1.5, 0, 0]),
    "tensor start, row 2: shots are not in order": lambda t: t.update(
        start=np.array([0.0, 2.0, 1.0, 3.0]), end=np.array([1.0, 2.5, 2.0, 4.0])
    ),
    "tensor start, row 1: the shot overlaps": lambda t: t.update(start=t["start"] - [0, 0.1, 0, 0]),
    "tensor boundary, row 2: 7 is neither": lambda t: t.update(
        boundary=np.array([0, 1, 7, 0], dtype=np.uint8)
    ),
    "tensor boundary is int64": lambda t: t.update(boundary=t["boundary"].astype(np.int64)),
    "tensor place, row 3: not finite": lambda t: t.update(place=_nan(t["place"], 3, 1)),
    r"tensor place has shape \(3, 3\)": lambda t: t.update(place=t["place"][:3].copy()),
    r"tensor place has shape \(4,\)": lambda t: t.update(place=np.ones(4, dtype=np.float32)),
    "tensor place is int64": lambda t: t.update(place=np.ones((4, 3), dtype=np.int64)),
    "tensor place.length, row 1: 2 is not within 0 … 1": lambda t: t.update(
        {"place.length": np.array([1, 2, 1, 1])}
    ),
    "tensor place.length is float32": lambda t: t.update(
        {"place.length": np.ones(4, dtype=np.float32)}
    ),
    "tensor panns.length belongs to no aspect": lambda t: t.update(
        {"panns.length": np.ones(4, int)}
    ),
    "is no name for an aspect": lambda t: t.update({"Pl ace": np.ones((4, 2), dtype=np.float32)}),
}


@pytest.mark.parametrize("message", CASES)
def test_invalid_movies_are_refused_by_movie_tensor_and_row(tmp_path: Path, message: str) -> None:
    tensors = _tensors()
    CASES[message](tensors)
    file = _written(tmp_path, tensors)
    with pytest.raises(DatasetError, match=message) as caught:
        read_movie(file)
    assert "movie film" in str(caught.value)


def test_padding_may_hold_anything(tmp_path: Path) -> None:
    tensors = _tensors()
    cube = np.full((4, 2, 3), np.inf, dtype=np.float16)
    cube[:, 0] = 1
    tensors |= {"panns": cube, "panns.length": np.ones(4, dtype=np.int64)}
    assert read_movie(_written(tmp_path, tensors)).aspects["panns"].tokens.shape == (4, 3)


def test_nothing_invalid_is_written(tmp_path: Path) -> None:
    movie = toy_movie("film", 5, 1)
    place = movie.aspects["place"]
    bad = Movie(
        "film",
        movie.start,
        movie.end,
        movie.boundary,
        {"place": AspectTokens(place.tokens * np.nan, place.offsets)},
        {},
    )
    with pytest.raises(DatasetError, match="row 0: not finite"):
        write_movie(tmp_path / "film.safetensors", bad)
    assert not list(tmp_path.iterdir())


def test_values_beyond_half_precision_stay_finite(tmp_path: Path) -> None:
    movie = toy_movie("film", 5, 1)
    place = movie.aspects["place"]
    loud = AspectTokens(np.full_like(place.tokens, 1e6), place.offsets)
    write_movie(
        tmp_path / "film.safetensors",
        Movie("film", movie.start, movie.end, movie.boundary, {"place": loud}, {}),
    )
    assert read_movie(tmp_path / "film.safetensors").aspects["place"].tokens.max() == 65504.0


def test_what_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not a dataset folder"):
        DatasetFolder(tmp_path / "nothing")
    with pytest.raises(DatasetError, match="holds no movie"):
        DatasetFolder(tmp_path)
    (tmp_path / "film.safetensors").write_bytes(b"garbage")
    with pytest.raises(DatasetError, match="movie film: cannot be read"):
        DatasetFolder(tmp_path).read("film")


def test_movies_must_agree(tmp_path: Path) -> None:
    folder = toy_folder(tmp_path, 2, 10)
    assert folder.aspects()["place"].dim == 14
    assert folder.aspects()["place"].extractor == "toy-place"
    write_movie(tmp_path / "m9.safetensors", toy_movie("m9", 5, 1, dims={"place": 3}))
    with pytest.raises(
        DatasetError, match=r"movie m9: tensor place is 3 wide .* movie m0 it is 14"
    ):
        DatasetFolder(tmp_path).aspects()
