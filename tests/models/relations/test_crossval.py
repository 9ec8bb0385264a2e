from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from streamer.errors import DatasetError
from streamer.models.dataset.movie import AspectTokens, Movie
from streamer.models.evaluation.metrics import average_precision
from streamer.models.relations.crossval import (
    Described,
    FoldScores,
    System,
    bootstrap,
    deal,
    judge_fold,
    root_histograms,
)
from streamer.models.relations.expert import RelatedMovie, fit_expert
from tests.models.toy import toy_movie

NETWORKS = ("one", "two")
JOINED = System("REL_place", NETWORKS, unseen=True, aspects=("place",))


def _films(count: int = 6, shots: int = 50, noise: float = 0.6) -> dict[str, list[Movie]]:
    """Films by two networks: the same scenes, vectors of another width."""
    films: dict[str, list[Movie]] = {}
    for index in range(count):
        first = toy_movie(f"m{index}", shots, index, noise=noise, dims={"place": 12})
        tokens = first.aspects["place"]
        mixed = tokens.tokens @ np.random.default_rng(1).standard_normal((12, 20))
        second = AspectTokens(mixed.astype(np.float32), tokens.offsets)
        films[f"m{index}"] = [first, replace(first, aspects={"place": second})]
    return films


def _describe(films: dict[str, list[Movie]]) -> list[Described]:
    return [
        Described.of(movie, network, 2, ("place",))
        for movies in films.values()
        for network, movie in zip(NETWORKS, movies, strict=True)
    ]


def _bytes(scores: FoldScores, only: str | None = None) -> list[object]:
    found: list[object] = [scores.threshold]
    for movie in scores.movies:
        if only in (None, movie.name):
            found += [movie.name, movie.scores.tobytes()]
            found.append(movie.decided(scores.threshold).tobytes())
    return found


@pytest.mark.parametrize("system", [JOINED, replace(JOINED, unseen=False)])
def test_labels_of_a_test_film_decide_nothing(system: System) -> None:
    films = _films()
    before = judge_fold(_describe(films), ["m1", "m4"], system, ahead=2)
    for index in (0, 1):
        movie = films["m1"][index]
        shuffled = np.random.default_rng(3).permutation(movie.boundary)
        films["m1"][index] = replace(movie, boundary=shuffled)
    after = judge_fold(_describe(films), ["m1", "m4"], system, ahead=2)
    assert _bytes(before) == _bytes(after)


def test_tokens_of_another_test_film_decide_nothing() -> None:
    films = _films()
    before = judge_fold(_describe(films), ["m1", "m4"], JOINED, ahead=2)
    for index in (0, 1):
        held = films["m4"][index].aspects["place"]
        tokens = np.random.default_rng(5).standard_normal(held.tokens.shape).astype(np.float32)
        aspects = {"place": AspectTokens(tokens, held.offsets)}
        films["m4"][index] = replace(films["m4"][index], aspects=aspects)
    after = judge_fold(_describe(films), ["m1", "m4"], JOINED, ahead=2)
    assert _bytes(before, "m1") == _bytes(after, "m1")
    assert _bytes(before, "m4") != _bytes(after, "m4")


def test_the_tested_network_is_absent_from_training() -> None:
    films = _films()
    system = replace(JOINED, tested=("one",))
    before = judge_fold(_describe(films), ["m1"], system, ahead=2)
    for movies in films.values():
        if movies[0].name != "m1":
            held = movies[0].aspects["place"]
            tokens = np.random.default_rng(5).standard_normal(held.tokens.shape)
            aspects = {"place": AspectTokens(tokens.astype(np.float32), held.offsets)}
            movies[0] = replace(movies[0], aspects=aspects)
    after = judge_fold(_describe(films), ["m1"], system, ahead=2)
    assert _bytes(before, "m1")[1:] != []
    assert before.movies[0].scores.tobytes() == after.movies[0].scores.tobytes()
    seen = replace(system, unseen=False)
    other = judge_fold(_describe(films), ["m1"], seen, ahead=2)
    assert before.movies[0].scores.tobytes() != other.movies[0].scores.tobytes()


def test_labels_of_training_films_decide_scores_and_threshold() -> None:
    films = _films()
    before = judge_fold(_describe(films), ["m1"], JOINED, ahead=2)
    for index in (0, 1):
        movie = films["m2"][index]
        films["m2"][index] = replace(movie, boundary=np.roll(movie.boundary, 1))
    after = judge_fold(_describe(films), ["m1"], JOINED, ahead=2)
    assert before.threshold != after.threshold
    assert _bytes(before) != _bytes(after)


def test_the_threshold_comes_from_films_the_expert_did_not_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained: list[set[str]] = []
    scored: list[set[str]] = []
    from streamer.models.relations import crossval

    def fit(movies: list[RelatedMovie], *args: object) -> object:
        trained.append({movie.name for movie in movies})
        return fit_expert(movies, *args)  # type: ignore[arg-type] # passed on

    def choose(movies: list[object]) -> float:
        scored.append({movie.name for movie in movies})  # type: ignore[attr-defined] # scored movies
        return 0.3

    monkeypatch.setattr(crossval, "fit_expert", fit)
    monkeypatch.setattr(crossval, "best_threshold", choose)
    judge_fold(_describe(_films()), ["m1", "m4"], replace(JOINED, tested=("one",)), ahead=2)
    train = {"m0", "m2", "m3", "m5"}
    assert trained[0] == train
    assert scored == [train]
    assert all(each < train for each in trained[1:])
    assert set.intersection(*trained[1:]) == set()


def test_an_expert_learns_what_carries_over_to_another_network() -> None:
    films = _films(8, 80)
    described = _describe(films)
    for test in deal(films, 4):
        for movie in judge_fold(described, test, JOINED, ahead=2).movies:
            found = average_precision(movie.labels, movie.scores)
            assert found is not None
            assert found > 0.75
            assert found > 2.0 * movie.labels.mean()


def test_folds_are_disjoint_and_fixed() -> None:
    names = [f"m{i}" for i in range(7)]
    folds = deal([*reversed(names), *names], 3)
    assert folds == (("m0", "m3", "m6"), ("m1", "m4"), ("m2", "m5"))
    assert deal(["a", "b"], 5) == (("a",), ("b",))


def test_an_expert_needs_boundaries_and_others() -> None:
    movie = toy_movie("m", 20, 1, dims={"place": 12})
    none = replace(movie, boundary=np.zeros(20, dtype=np.bool_))
    with pytest.raises(DatasetError, match="need scene boundaries"):
        fit_expert([RelatedMovie.of(none, "one", 2, ("place",))], 2)
    with pytest.raises(DatasetError, match="need scene boundaries"):
        fit_expert([], 2)


def test_columns_left_out_do_not_count() -> None:
    seen = RelatedMovie.of(toy_movie("m", 60, 1, dims={"place": 12}), "one", 2, ("place",))
    expert = fit_expert([seen], 2, columns=range(5))
    values = seen.values["place"]
    changed = values.copy()
    changed[:, 5:] += 3.0
    np.testing.assert_array_equal(expert.logits(values), expert.logits(changed))
    changed[:, 0] += 3.0
    assert not np.allclose(expert.logits(values), expert.logits(changed))


def test_the_interval_holds_the_mean_and_depends_on_films() -> None:
    random = np.random.default_rng(0)
    values = {f"m{i}": float(v) for i, v in enumerate(random.random(24))}
    found = bootstrap(values, 4000, 0)
    assert found == bootstrap(dict(reversed(values.items())), 4000, 0)
    array = np.array(list(values.values()))
    error = array.std() / np.sqrt(24)
    assert found.mean == pytest.approx(array.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert bootstrap({"m": 0.5}, 10, 0).low == 0.5


def test_roots_of_histograms() -> None:
    movie = toy_movie("m", 5, 1, dims={"place": 12})
    rooted = root_histograms(movie).aspects["place"].tokens
    expected = np.sqrt(np.maximum(movie.aspects["place"].tokens, 0))
    np.testing.assert_array_equal(rooted, expected)
