"""The dataset on disk: a folder with one safetensors file a movie (docs/dataset.md)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from streamer.errors import DatasetError
from streamer.files import write_atomically
from streamer.lines import reason
from streamer.models.dataset.movie import AspectTokens, Movie

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

FORMAT = "moae-streamer-dataset/1"
_RESERVED = frozenset({"start", "end", "boundary"})
_ASPECT = re.compile(r"[a-z][a-z0-9_]{0,39}")
_FLOATS = ("float16", "float32", "float64")
_OVERLAP_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class AspectSummary:
    """What all movies of a dataset agree on for one aspect.

    Attributes:
        dim: Length of a token.
        extractor: Honest name of the network.
    """

    dim: int
    extractor: str


class DatasetFolder:
    """Movies of a folder, read one at a time.

    Args:
        path: The folder.

    Raises:
        DatasetError: There is no such folder, or no movie in it.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise DatasetError(f"{path} is not a dataset folder")
        self.path = path
        self.names = tuple(sorted(file.stem for file in path.glob("*.safetensors")))
        if not self.names:
            raise DatasetError(f"{path} holds no movie (<movie>.safetensors)")

    def read(self, name: str) -> Movie:
        """Reads and validates one movie; see ``read_movie``."""
        return read_movie(self.path / f"{name}.safetensors")

    def movies(self) -> Iterator[Movie]:
        """Reads all movies, in the order of their names."""
        for name in self.names:
            yield self.read(name)

    def aspects(self) -> dict[str, AspectSummary]:
        """What the movies hold, without reading their tokens.

        Returns:
            Aspects of any movie, by name. A movie that lacks one counts as having it in no shot.

        Raises:
            DatasetError: Two movies disagree on an aspect's length or network.
        """
        found: dict[str, tuple[str, AspectSummary]] = {}
        for name in self.names:
            path = self.path / f"{name}.safetensors"
            for aspect, summary in _summaries(path).items():
                first, known = found.setdefault(aspect, (name, summary))
                if known != summary:
                    raise DatasetError(
                        f"movie {name}: tensor {aspect} is {summary.dim} wide from "
                        f"{summary.extractor!r}, but in movie {first} it is {known.dim} wide "
                        f"from {known.extractor!r}"
                    )
        return {aspect: found[aspect][1] for aspect in sorted(found)}


def write_movie(path: Path, movie: Movie, *, half: bool = True) -> None:
    """Writes a movie, whole or not at all.

    Args:
        path: ``<folder>/<movie>.safetensors``.
        movie: What to write; validated as on reading.
        half: Store tokens as float16, half the size at about three digits.

    Raises:
        DatasetError: The movie would be refused on reading.
    """
    tensors: dict[str, NDArray[np.generic]] = {
        "start": np.ascontiguousarray(movie.start, dtype=np.float64),
        "end": np.ascontiguousarray(movie.end, dtype=np.float64),
        "boundary": movie.boundary.astype(np.uint8),
    }
    kind = np.float16 if half else np.float32
    for aspect, held in movie.aspects.items():
        longest = max(1, int(held.lengths.max(initial=0)))
        padded = np.zeros((movie.shots, longest, held.dim), dtype=kind)
        columns = np.arange(longest)[None, :] < held.lengths[:, None]
        # Values beyond float16's range would turn infinite and the file be refused.
        limit = np.finfo(kind).max
        padded[columns] = np.clip(held.tokens, -limit, limit)
        tensors[aspect] = padded
        tensors[f"{aspect}.length"] = held.lengths.astype(np.int64)
    _validated(movie.name, tensors, movie.extractors)
    metadata = {
        "format": FORMAT,
        "extractors": json.dumps(dict(sorted(movie.extractors.items())), sort_keys=True),
    }
    write_atomically(path, save(tensors, metadata=metadata))


def read_movie(path: Path) -> Movie:
    """Reads and validates a movie.

    Args:
        path: ``<movie>.safetensors``.

    Raises:
        DatasetError: Unreadable or invalid; the message names movie, tensor and row (from 0).
    """
    name = path.stem
    try:
        with safe_open(path, framework="numpy") as file:
            extractors = _extractors(name, file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no iterator
    except (SafetensorError, OSError, TypeError) as error:
        raise DatasetError(f"movie {name}: cannot be read: {reason(error)}") from error
    return _validated(name, tensors, extractors)


def _extractors(name: str, metadata: Mapping[str, str]) -> dict[str, str]:
    text = metadata.get("extractors", "{}")
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise DatasetError(f"movie {name}: metadata 'extractors' is not JSON") from error
    if not isinstance(parsed, dict) or not all(isinstance(v, str) for v in parsed.values()):
        raise DatasetError(f"movie {name}: metadata 'extractors' must map aspects to names")
    return parsed


def _summaries(path: Path) -> dict[str, AspectSummary]:
    name = path.stem
    try:
        with safe_open(path, framework="numpy") as file:
            extractors = _extractors(name, file.metadata() or {})
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118 - no iterator
    except (SafetensorError, OSError) as error:
        raise DatasetError(f"movie {name}: cannot be read: {reason(error)}") from error
    return {
        key: AspectSummary(shape[-1], extractors.get(key, "unknown"))
        for key, shape in shapes.items()
        if key not in _RESERVED and not key.endswith(".length") and shape
    }


def _validated(
    name: str, tensors: Mapping[str, NDArray[np.generic]], extractors: Mapping[str, str]
) -> Movie:
    for key in sorted(_RESERVED):
        if key not in tensors:
            raise DatasetError(f"movie {name}: tensor {key} is missing")
    shots = len(tensors["start"]) if tensors["start"].ndim else 0
    if shots == 0:
        raise DatasetError(f"movie {name}: tensor start has no shots")
    start = _times(name, "start", tensors, shots)
    end = _times(name, "end", tensors, shots)
    _ordered(name, start, end)
    aspects = {
        key: _aspect(name, key, tensors, shots)
        for key in sorted(tensors)
        if key not in _RESERVED and not key.endswith(".length")
    }
    for key in tensors:
        owner = key.removesuffix(".length")
        if owner != key and owner not in aspects:
            raise DatasetError(f"movie {name}: tensor {key} belongs to no aspect")
    return Movie(
        name=name,
        start=start,
        end=end,
        boundary=_labels(name, tensors["boundary"], shots),
        aspects=aspects,
        extractors={key: extractors.get(key, "unknown") for key in aspects},
    )


def _times(
    name: str, key: str, tensors: Mapping[str, NDArray[np.generic]], shots: int
) -> NDArray[np.float64]:
    values = tensors[key]
    if values.shape != (shots,) or values.dtype != np.float64:
        raise DatasetError(
            f"movie {name}: tensor {key} is {values.dtype} {values.shape}, "
            f"expected float64 ({shots},)"
        )
    times: NDArray[np.float64] = values.astype(np.float64)
    _finite(name, key, times)
    return times


def _ordered(name: str, start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    empty = np.flatnonzero(end <= start)
    if empty.size:
        row = int(empty[0])
        raise DatasetError(
            f"movie {name}: tensor end, row {row}: the shot ends at {end[row]} s, "
            f"not after its start at {start[row]} s"
        )
    unsorted = np.flatnonzero(start[1:] < start[:-1])
    if unsorted.size:
        raise DatasetError(
            f"movie {name}: tensor start, row {int(unsorted[0]) + 1}: shots are not in order"
        )
    overlap = np.flatnonzero(start[1:] < end[:-1] - _OVERLAP_TOLERANCE)
    if overlap.size:
        raise DatasetError(
            f"movie {name}: tensor start, row {int(overlap[0]) + 1}: "
            f"the shot overlaps the one before it"
        )


def _labels(name: str, values: NDArray[np.generic], shots: int) -> NDArray[np.bool_]:
    if values.shape != (shots,) or values.dtype not in (np.dtype(np.uint8), np.dtype(np.bool_)):
        raise DatasetError(
            f"movie {name}: tensor boundary is {values.dtype} {values.shape}, "
            f"expected uint8 ({shots},)"
        )
    numbers = values.astype(np.uint8)
    wrong = np.flatnonzero(numbers > 1)
    if wrong.size:
        row = int(wrong[0])
        raise DatasetError(
            f"movie {name}: tensor boundary, row {row}: {int(numbers[row])} is neither 0 nor 1"
        )
    return numbers.astype(np.bool_)


def _aspect(
    name: str, key: str, tensors: Mapping[str, NDArray[np.generic]], shots: int
) -> AspectTokens:
    values = tensors[key]
    if not _ASPECT.fullmatch(key):
        raise DatasetError(f"movie {name}: tensor {key!r} is no name for an aspect")
    if values.ndim not in (2, 3) or len(values) != shots or 0 in values.shape:
        raise DatasetError(
            f"movie {name}: tensor {key} has shape {values.shape}, "
            f"expected ({shots}, dim) or ({shots}, tokens, dim)"
        )
    if values.dtype.name not in _FLOATS:
        raise DatasetError(f"movie {name}: tensor {key} is {values.dtype}, expected floats")
    cube = values[:, None] if values.ndim == 2 else values
    lengths = _lengths(name, key, tensors, shots, cube.shape[1])
    columns = np.arange(cube.shape[1])[None, :] < lengths[:, None]
    tokens: NDArray[np.float32] = cube[columns].astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(tokens).all(axis=1))
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    if bad.size:
        row = int(np.searchsorted(offsets, bad[0], side="right")) - 1
        raise DatasetError(f"movie {name}: tensor {key}, row {row}: not finite")
    return AspectTokens(tokens, offsets)


def _lengths(
    name: str, key: str, tensors: Mapping[str, NDArray[np.generic]], shots: int, most: int
) -> NDArray[np.int64]:
    values = tensors.get(f"{key}.length")
    if values is None:
        return np.full(shots, most, dtype=np.int64)
    if values.shape != (shots,) or values.dtype.kind not in "iu":
        raise DatasetError(
            f"movie {name}: tensor {key}.length is {values.dtype} {values.shape}, "
            f"expected integers ({shots},)"
        )
    lengths: NDArray[np.int64] = values.astype(np.int64)
    wrong = np.flatnonzero((lengths < 0) | (lengths > most))
    if wrong.size:
        row = int(wrong[0])
        raise DatasetError(
            f"movie {name}: tensor {key}.length, row {row}: "
            f"{int(lengths[row])} is not within 0 … {most}"
        )
    return lengths


def _finite(name: str, key: str, values: NDArray[np.float64]) -> None:
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DatasetError(f"movie {name}: tensor {key}, row {int(bad[0])}: not finite")
