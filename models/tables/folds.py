"""Movies dealt into folds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamer.errors import DatasetError
from streamer.models.training.settings import seed_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamer.models.dataset.folder import DatasetFolder


def make_folds(names: Sequence[str], count: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Deals movies out in an order drawn from a seed.

    Args:
        names: All movies.
        count: Folds.
        seed: Of the draw.

    Returns:
        Test movies of each fold, sorted; every movie is in exactly one.

    Raises:
        DatasetError: There are fewer movies than folds, or fewer than two folds.
    """
    if count < 2:
        raise DatasetError("cross validation needs at least 2 folds")
    if len(names) < count:
        movies = "1 movie" if len(names) == 1 else f"{len(names)} movies"
        raise DatasetError(
            f"{count} folds by movie need at least {count} movies, there "
            f"{'is' if len(names) == 1 else 'are'} only {movies}; use fewer --folds or more movies"
        )
    order = np.random.default_rng(seed_of(seed, "folds")).permutation(len(names))
    dealt = [names[index] for index in order]
    return tuple(tuple(sorted(dealt[first::count])) for first in range(count))


def named_fold(names: Sequence[str], test: Sequence[str]) -> tuple[str, ...]:
    """The one fold of movies that were named.

    Args:
        names: All movies.
        test: Those to test on.

    Raises:
        DatasetError: One of them is not there, or no other one is.
    """
    unknown = sorted(set(test) - set(names))
    if unknown:
        raise DatasetError(f"there is no movie {unknown[0]!r} to test on")
    if not set(names) - set(test):
        raise DatasetError("every movie is to be tested on: there is none to train on")
    return tuple(sorted(set(test)))


def count_boundaries(dataset: DatasetFolder) -> dict[str, tuple[int, int]]:
    """Reads and validates every movie once.

    Returns:
        Movie → its shots and its true scene boundaries.
    """
    return {movie.name: (movie.shots, int(movie.labels.sum())) for movie in dataset.movies()}


def check_folds(folds: Sequence[Sequence[str]], counts: Mapping[str, tuple[int, int]]) -> None:
    """Refuses folds in which there is nothing to find or nothing to learn, before any training.

    Args:
        folds: Test movies of each.
        counts: From ``count_boundaries``.

    Raises:
        DatasetError: Names the fold and its movies.
    """
    for number, test in enumerate(folds):
        named = f"fold {number + 1} ({', '.join(test)})"
        if not any(counts[name][1] for name in test):
            raise DatasetError(
                f"{named} has no scene boundary to find; use fewer --folds or another --seed"
            )
        if not any(found for name, (_, found) in counts.items() if name not in test):
            raise DatasetError(f"outside {named} there is no scene boundary to learn from")
