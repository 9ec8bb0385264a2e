from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.models.dataset.corpus import Corpus, build_corpus, load_corpus, save_corpus
from streamer.models.dataset.sequences import (
    sequence_boundaries,
    sequence_shots,
    tile_starts,
    window_starts,
)
from streamer.models.experts.tokens import Projection
from tests.models.toy import DIMS, toy_movie

if TYPE_CHECKING:
    from pathlib import Path


@given(boundaries=st.integers(0, 60), length=st.integers(1, 12), data=st.data())
def test_tiles_cover_every_boundary_exactly_once(
    boundaries: int, length: int, data: st.DataObject
) -> None:
    phase = data.draw(st.integers(0, length - 1))
    covered = sequence_boundaries(tile_starts(boundaries, length, phase), length).flatten()
    inside = covered[(covered >= 0) & (covered < boundaries)]
    assert inside.tolist() == list(range(boundaries))


@given(boundaries=st.integers(0, 40), length=st.integers(1, 12), data=st.data())
def test_windows_decide_every_boundary_at_its_position(
    boundaries: int, length: int, data: st.DataObject
) -> None:
    lookahead = data.draw(st.integers(0, length - 1))
    windows = sequence_boundaries(window_starts(boundaries, length, lookahead), length)
    assert windows[:, length - 1 - lookahead].tolist() == list(range(boundaries))


def test_shots_around_boundaries_by_hand() -> None:
    starts = np.array([-1, 2])
    assert sequence_shots(starts, 5, 3, 2).tolist() == [[0, 0, 0, 1, 2, 3], [1, 2, 3, 4, 4, 4]]


def _corpus() -> Corpus:
    movies = [toy_movie("a", 12, 1, missing=0.3), toy_movie("b", 7, 2)]
    projections = {name: Projection(dim, 0) for name, dim in DIMS.items()}
    return build_corpus(lambda: iter(movies), projections, 4)


def test_corpus_keeps_shots_apart_and_thins_long_ones() -> None:
    corpus = _corpus()
    movie = toy_movie("b", 7, 2)
    assert corpus.names == ("a", "b")
    assert corpus.rows(1) == range(12, 19)
    batch = corpus.gather("place", torch.arange(12, 19))
    place = movie.aspects["place"]
    assert batch.lengths.tolist() == np.minimum(place.lengths, 4).tolist()
    first = batch.tokens[0, : batch.lengths[0]].numpy()
    assert set(map(tuple, first)) <= set(map(tuple, place.shot(0)))
    np.testing.assert_array_equal(corpus.labels(1), movie.labels)


@settings(max_examples=30, deadline=None)
@given(start=st.integers(-9, 12), movie=st.integers(0, 1))
def test_sequences_never_leave_their_movie(start: int, movie: int) -> None:
    corpus = _corpus()
    batch = corpus.cut(movie, np.array([start]), 10, 2)
    rows = corpus.rows(movie)
    assert rows.start <= int(batch.shots.min()) <= int(batch.shots.max()) < rows.stop
    for position in range(10):
        boundary = start + position
        real = 0 <= boundary < len(rows) - 1
        assert bool(batch.valid[0, position]) == real
        label = bool(batch.labels[0, position])
        assert label == (real and bool(corpus.labels(movie)[boundary]))


def test_corpus_round_trip(tmp_path: Path) -> None:
    corpus = _corpus()
    save_corpus(corpus, tmp_path / "c.safetensors")
    read = load_corpus(tmp_path / "c.safetensors", ["panns"])
    assert read.names == corpus.names
    assert list(read.tokens) == ["panns"]
    assert torch.equal(read.tokens["panns"], corpus.tokens["panns"])
    np.testing.assert_array_equal(read.boundary, corpus.boundary)
