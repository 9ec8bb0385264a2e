"""Relations between the shots of a stream: similarities within a window, and the editing rhythm.

An expert that sees these alone knows nothing of the network that made the vectors: turning or
scaling the space of an aspect leaves every value as it is.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from streamer.models.dataset.movie import Movie

    Vector = NDArray[np.float64]

PAST: Final = 16
"""Shots up to the boundary that it is compared by."""
CONTEXT: Final = 4
"""Boundaries that describe one: itself, the two before it and the one after it."""
_CENTRE_PRIOR: Final = 4.0
"""Shots' worth of a zero mean in the running centre of an aspect."""
_SIMILARITY_PRIOR: Final = (0.15, 0.35, 10.0)
"""Mean and deviation of centred similarities on real films, and the shots they count for."""
_LENGTH_PRIOR: Final = (1.25, 0.8, 8.0)
"""The same of the logarithm of shot lengths in seconds: real films have a median of 3.5 s."""
_RECENT_SHOTS: Final = 24
_NEIGHBOURS: Final = 8
_LENGTHS: Final = 4
_SHORTEST, _LONGEST = 0.2, 60.0


@dataclass(frozen=True, slots=True)
class RelationRow:
    """What is known of one boundary once its look-ahead shots are there.

    Attributes:
        index: Boundary, after shot ``index``.
        rhythm: Lengths of shots beside the stream's own, ``(rhythm_width(ahead),)``.
        similarities: Aspect → ``(CONTEXT * similarity_width(ahead),)``; aspects absent in one of
            the two adjacent shots are no keys.
        novelty: Aspect → 1 − the greatest similarity of the two shots before to the two after.
    """

    index: int
    rhythm: Vector
    similarities: Mapping[str, Vector]
    novelty: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Rectangles of the similarity matrix around a boundary.

    Attributes:
        inside: Bool ``(blocks, window ** 2)``.
        wants: Bool ``(3, blocks)``: whether mean, greatest and least similarity are features.
    """

    inside: NDArray[np.bool_]
    wants: NDArray[np.bool_]

    def features(self, matrix: Vector) -> Vector:
        """Describes a matrix ``(window, window)``, NaN where there is nothing to compare."""
        flat = matrix.reshape(-1)
        known = np.isfinite(flat)
        there = self.inside & known
        count = there.sum(axis=1)
        values = np.where(known, flat, 0.0)
        described = np.stack(
            (
                self.inside @ values / np.maximum(count, 1),
                np.where(there, values, -np.inf).max(axis=1),
                np.where(there, values, np.inf).min(axis=1),
            )
        )
        # Without any pair to compare there is no evidence: the stream's mean, which is zero.
        return np.where(count > 0, described, 0.0)[self.wants]


@cache
def _blocks(ahead: int, margin: int) -> _Blocks:
    """Blocks for a boundary with ``ahead`` shots after it, ``margin`` from the matrix's end."""
    window = PAST + ahead + margin
    edge = PAST + margin
    found: dict[tuple[object, ...], tuple[NDArray[np.bool_], tuple[bool, bool, bool]]] = {}

    def add(
        rows: tuple[int, int], columns: tuple[int, int], least: bool, pairs: bool = False
    ) -> None:
        mask = np.zeros((window, window), dtype=np.bool_)
        mask[max(rows[0], 0) : rows[1], columns[0] : columns[1]] = True
        if pairs:
            mask &= np.triu(np.ones_like(mask), 1)
        found.setdefault((rows, columns, pairs), (mask.reshape(-1), (True, True, least)))

    for before in (1, 2, 3, 4, 6, 8, 12, 16):
        for after in range(1, min(ahead, 4) + 1):
            add((edge - before, edge), (edge, edge + after), before <= 4)
    for before in (2, 3, 4, 6, 8):
        add((edge - before, edge), (edge - before, edge), False, pairs=True)
        add((edge - 1 - before, edge - 1), (edge - 1, edge), False)
    if ahead > 1:
        add((edge, window - 0), (edge, window), False, pairs=True)
    for offset in (-3, -2, -1, 1, 2, 3):
        after = min(ahead - offset, 2)
        if after >= 1:
            at = edge + offset
            add((at - 4, at), (at, at + after), False)
            add((at - 1, at), (at, at + 1), False)
    masks, wants = zip(*found.values(), strict=True)
    return _Blocks(np.stack(masks), np.array(wants, dtype=np.bool_).T)


def similarity_width(ahead: int) -> int:
    """Features of one boundary of one aspect; those of the next one have a shot less."""
    return int(_blocks(ahead, 0).wants.sum())


def context_width(ahead: int) -> int:
    """Features of one aspect: of the boundary, the two before it, and the one after it."""
    after = int(_blocks(ahead - 1, 1).wants.sum()) if ahead > 1 else 0
    return (CONTEXT - 1) * similarity_width(ahead) + after


@dataclass(slots=True)
class _AspectWindow:
    """The last shots of one aspect, normalised by all of the stream so far.

    Attributes:
        ahead: Look-ahead shots.
        vectors: Of the last ``PAST + ahead`` shots, None where one lacks the aspect.
    """

    ahead: int
    vectors: deque[Vector | None] = field(init=False)
    _sum: Vector | None = None
    _shots: int = 0
    _moments: Vector = field(default_factory=lambda: np.zeros(3))
    _before: deque[Vector] = field(default_factory=lambda: deque(maxlen=2))

    def __post_init__(self) -> None:
        self.vectors = deque([None] * (PAST + self.ahead), maxlen=PAST + self.ahead)

    def push(self, vector: Vector | None, *, ended: bool = False) -> None:
        self.vectors.append(vector)
        if vector is not None and not ended:
            self._sum = vector.copy() if self._sum is None else self._sum + vector
            self._shots += 1

    def matrix(self) -> Vector:
        """Similarities beside the stream's own mean and deviation, NaN where one is absent."""
        window = len(self.vectors)
        cosines = np.full((window, window), np.nan)
        there = [row for row, vector in enumerate(self.vectors) if vector is not None]
        if there and self._sum is not None:
            centre = self._sum / (self._shots + _CENTRE_PRIOR)
            rows = np.stack([self.vectors[row] for row in there]) - centre  # type: ignore[misc]
            lengths = np.linalg.norm(rows, axis=1)
            lengths[lengths <= 1e-9 * np.linalg.norm(centre)] = np.nan
            lengths[lengths == 0.0] = np.nan
            rows /= lengths[:, None]
            cosines[np.ix_(there, there)] = np.einsum("id,jd->ij", rows, rows)
        return cosines

    def relate(self, *, ended: bool) -> tuple[Vector, float | None]:
        """Features of the boundary before the look-ahead shots, and its novelty."""
        cosines = self.matrix()
        if not ended:
            latest = cosines[-1, -1 - _NEIGHBOURS : -1]
            latest = latest[np.isfinite(latest)]
            if latest.size:
                self._moments += (latest.mean(), (latest**2).mean(), 1.0)
        mean, deviation = _moments(self._moments, _SIMILARITY_PRIOR)
        matrix = (cosines - mean) / deviation
        here = _blocks(self.ahead, 0).features(matrix)
        parts = [here, *reversed(self._before)]
        parts += [np.zeros_like(here)] * (CONTEXT - 1 - len(parts))
        if self.ahead > 1:
            parts.append(_blocks(self.ahead - 1, 1).features(matrix))
        self._before.append(here)
        near = cosines[PAST - 2 : PAST, PAST : PAST + min(2, self.ahead)]
        near = near[np.isfinite(near)]
        present = self.vectors[PAST - 1] is not None and self.vectors[PAST] is not None
        return np.concatenate(parts), 1.0 - float(near.max(initial=-1.0)) if present else None


class RelationStream:
    """Describes every boundary of one stream once, in order, while shots arrive.

    The boundary after shot ``i`` is described when shot ``i + ahead`` is there, or at the end.
    Memory does not depend on how long the stream is.

    Args:
        aspects: Those that may occur.
        ahead: Look-ahead shots, ≥ 1.
    """

    def __init__(self, aspects: Sequence[str], ahead: int) -> None:
        if ahead < 1:
            raise ValueError("a boundary needs at least the shot after it")
        self.ahead = ahead
        self._windows = {aspect: _AspectWindow(ahead) for aspect in aspects}
        self._lengths: deque[float | None] = deque(
            [None] * (_LENGTHS + 1 + ahead), maxlen=_LENGTHS + 1 + ahead
        )
        self._recent: deque[float] = deque([_LENGTH_PRIOR[0]], maxlen=ahead + 1)
        self._moments = np.zeros(3)
        self._shots = 0
        self._decided = 0
        self._ended = False

    def push(self, vectors: Mapping[str, Vector | None], seconds: float) -> RelationRow | None:
        """Takes a closed shot.

        Args:
            vectors: Aspect → mean of the shot's tokens, ``(dim,)``; absent ones None or no key.
            seconds: Length of the shot.

        Returns:
            The boundary that can be described now, if any.

        Raises:
            ValueError: The stream has ended, or a value is not finite.
        """
        if self._ended:
            raise ValueError("the input has ended")
        if not np.isfinite(seconds):
            raise ValueError("the length of a shot is not finite")
        for aspect, vector in vectors.items():
            if vector is not None and not np.isfinite(vector).all():
                raise ValueError(f"aspect {aspect} has a vector that is not finite")
        length = float(np.log(np.clip(seconds, _SHORTEST, _LONGEST)))
        self._lengths.append(length)
        self._moments += (length, length**2, 1.0)
        last = self._recent[-1]
        self._recent.append(last + (length - last) / min(self._shots + 9, _RECENT_SHOTS))
        self._shots += 1
        for aspect, window in self._windows.items():
            window.push(vectors.get(aspect))
        if self._shots <= self.ahead:
            return None
        return self._row()

    def finish(self) -> tuple[RelationRow, ...]:
        """Ends the input; describes the boundaries that still wait, with fewer shots ahead."""
        rows: list[RelationRow] = []
        # A stream shorter than the look-ahead has shots to shift before its first boundary.
        missing = max(0, self.ahead - self._shots)
        self._ended = True
        for step in range(self.ahead):
            self._lengths.append(None)
            self._recent.append(self._recent[-1])
            for window in self._windows.values():
                window.push(None, ended=True)
            if step >= missing and self._decided < self._shots - 1:
                rows.append(self._row())
        return tuple(rows)

    def _row(self) -> RelationRow:
        related = {a: each.relate(ended=self._ended) for a, each in self._windows.items()}
        index = self._decided
        self._decided += 1
        present = {a: value for a, (_, value) in related.items() if value is not None}
        return RelationRow(
            index, self._rhythm(), {aspect: related[aspect][0] for aspect in present}, present
        )

    def _rhythm(self) -> Vector:
        """Lengths of the shots around the boundary beside the stream's mean and deviation."""
        mean, deviation = _moments(self._moments, _LENGTH_PRIOR)
        lengths = np.array([np.nan if each is None else each for each in self._lengths])
        beside = np.nan_to_num((lengths - mean) / deviation)
        # The shot before the boundary, and those beside it, against the last half minute or so.
        recent = self._recent[0]
        near = slice(_LENGTHS - 1, _LENGTHS + 3)
        lately = np.zeros(4)
        taken = lengths[near]
        lately[: len(taken)] = np.nan_to_num((taken - recent) / _LENGTH_PRIOR[1])
        before, after = beside[_LENGTHS], beside[_LENGTHS + 1]
        plain = np.nan_to_num(lengths[_LENGTHS : _LENGTHS + 2] - _LENGTH_PRIOR[0])
        jumps = np.maximum((before, before - 1.0, after, before - after), 0.0)
        own = (mean - _LENGTH_PRIOR[0], deviation - _LENGTH_PRIOR[1])
        return np.concatenate((beside, lately, jumps, plain, own))


def rhythm_width(ahead: int) -> int:
    """Length of ``RelationRow.rhythm``."""
    return _LENGTHS + 1 + ahead + 4 + 4 + 2 + 2


def relate_movie(movie: Movie, ahead: int, aspects: Sequence[str]) -> list[RelationRow]:
    """Describes every boundary of a movie as a stream would.

    Args:
        movie: Its tokens are averaged shot by shot.
        ahead: Look-ahead shots, ≥ 1.
        aspects: Which; those the movie lacks are ignored.

    Returns:
        One row a boundary, ``shots - 1``.
    """
    held = {aspect: movie.aspects[aspect] for aspect in aspects if aspect in movie.aspects}
    stream = RelationStream(tuple(held), ahead)
    rows: list[RelationRow] = []
    for shot in range(movie.shots):
        vectors = {aspect: mean_token(tokens.shot(shot)) for aspect, tokens in held.items()}
        row = stream.push(vectors, float(movie.end[shot] - movie.start[shot]))
        if row is not None:
            rows.append(row)
    return rows + list(stream.finish())


def mean_token(tokens: NDArray[np.floating]) -> Vector | None:
    """Averages the tokens of a shot, ``(n, dim)`` → ``(dim,)``; None without any."""
    if not len(tokens):
        return None
    mean: Vector = tokens.mean(axis=0, dtype=np.float64)
    return mean


def _moments(sums: Vector, prior: tuple[float, float, float]) -> tuple[float, float]:
    """Mean and deviation of what was summed, with a prior that counts for some values."""
    mean0, deviation0, weight = prior
    count = sums[2] + weight
    mean = (sums[0] + weight * mean0) / count
    square = (sums[1] + weight * (mean0**2 + deviation0**2)) / count
    return float(mean), float(np.sqrt(max(square - mean**2, 0.03)))
