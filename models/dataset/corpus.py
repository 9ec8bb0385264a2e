"""Movies as the experts see them: tokens projected once, ready to be cut into sequences."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from streamer.errors import DatasetError
from streamer.files import write_atomically
from streamer.models.dataset.sequences import sequence_boundaries, sequence_shots
from streamer.models.experts.tokens import TokenBatch, thinned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from streamer.models.dataset.movie import Movie
    from streamer.models.experts.tokens import Projection


@dataclass(frozen=True, slots=True)
class SequenceBatch:
    """Sequences of boundaries of one or several movies.

    Attributes:
        movie: Index of each sequence's movie, ``(B,)``.
        start: Its first boundary, ``(B,)``; negative at padding.
        shots: Rows of the corpus, ``(B, L + 2*w_b - 1)``.
        labels: 1 at a scene boundary, int64 ``(B, L)``.
        valid: Bool ``(B, L)``; false at padding.
    """

    movie: Tensor
    start: Tensor
    shots: Tensor
    labels: Tensor
    valid: Tensor

    def rows(self, index: Tensor) -> SequenceBatch:
        """Some of the sequences, in the order of ``index``."""
        return SequenceBatch(
            self.movie[index],
            self.start[index],
            self.shots[index],
            self.labels[index],
            self.valid[index],
        )


@dataclass(frozen=True, slots=True)
class Corpus:
    """Shots of all movies, end to end.

    Attributes:
        names: Movies, in order.
        first: Row of each movie's first shot, and past the last one, ``(movies + 1,)``.
        start: Seconds, ``(shots,)``.
        end: Seconds, ``(shots,)``.
        boundary: Bool ``(shots,)``.
        tokens: Aspect → float32 ``(total, width)``.
        offsets: Aspect → int64 ``(shots + 1,)``.
    """

    names: tuple[str, ...]
    first: NDArray[np.int64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    boundary: NDArray[np.bool_]
    tokens: Mapping[str, Tensor]
    offsets: Mapping[str, Tensor]

    @property
    def shots(self) -> int:
        """Shots of all movies."""
        return len(self.start)

    def rows(self, movie: int) -> range:
        """Rows of one movie's shots."""
        return range(int(self.first[movie]), int(self.first[movie + 1]))

    def labels(self, movie: int) -> NDArray[np.bool_]:
        """Labels of one movie's boundaries, ``(shots - 1,)``."""
        rows = self.rows(movie)
        return self.boundary[rows.start : rows.stop - 1]

    def gather(self, aspect: str, shots: Tensor) -> TokenBatch:
        """Tokens of some shots.

        Args:
            aspect: Which aspect.
            shots: Rows, ``(S,)``.
        """
        flat, offsets = self.tokens[aspect], self.offsets[aspect]
        begin = offsets[shots]
        lengths = offsets[shots + 1] - begin
        longest = max(1, int(lengths.max())) if len(lengths) else 1
        columns = torch.arange(longest)
        index = torch.where(columns < lengths[:, None], begin[:, None] + columns, 0)
        if not len(flat):
            return TokenBatch(flat.new_zeros((len(shots), longest, flat.shape[1])), lengths)
        return TokenBatch(flat[index], lengths)

    def cut(self, movie: int, starts: NDArray[np.int64], length: int, reach: int) -> SequenceBatch:
        """Cuts sequences out of one movie.

        Args:
            movie: Index of the movie.
            starts: First boundary of each sequence, ``(B,)``.
            length: ``L``.
            reach: ``w_b``.
        """
        rows = self.rows(movie)
        shots = sequence_shots(starts, len(rows), length, reach) + rows.start
        indices = sequence_boundaries(starts, length)
        valid = (indices >= 0) & (indices < len(rows) - 1)
        labels = self.boundary[np.clip(indices, 0, len(rows) - 1) + rows.start] & valid
        return SequenceBatch(
            torch.full((len(starts),), movie),
            torch.from_numpy(starts),
            torch.from_numpy(shots),
            torch.from_numpy(labels.astype(np.int64)),
            torch.from_numpy(valid),
        )

    def select(self, aspects: Iterable[str]) -> Corpus:
        """The same movies with fewer aspects."""
        kept = tuple(aspects)
        return Corpus(
            self.names,
            self.first,
            self.start,
            self.end,
            self.boundary,
            {name: self.tokens[name] for name in kept},
            {name: self.offsets[name] for name in kept},
        )


def join_batches(batches: Sequence[SequenceBatch]) -> SequenceBatch:
    """Puts sequences of several movies into one batch."""
    return SequenceBatch(
        torch.cat([batch.movie for batch in batches]),
        torch.cat([batch.start for batch in batches]),
        torch.cat([batch.shots for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
        torch.cat([batch.valid for batch in batches]),
    )


def build_corpus(
    movies: Callable[[], Iterator[Movie]], projections: Mapping[str, Projection], limit: int
) -> Corpus:
    """Projects movies one at a time.

    Args:
        movies: Reads them, anew on each call.
        projections: Aspect → fitted projection.
        limit: Tokens a shot keeps at most, see ``thinned``.
    """
    names: list[str] = []
    first = [0]
    start, end, boundary = [], [], []
    tokens: dict[str, list[Tensor]] = {aspect: [] for aspect in projections}
    lengths: dict[str, list[NDArray[np.int64]]] = {aspect: [] for aspect in projections}
    for movie in movies():
        names.append(movie.name)
        first.append(first[-1] + movie.shots)
        start.append(movie.start)
        end.append(movie.end)
        boundary.append(movie.boundary)
        for aspect, projection in projections.items():
            held = movie.aspects.get(aspect)
            if held is None:
                lengths[aspect].append(np.zeros(movie.shots, dtype=np.int64))
                continue
            kept = [held.offsets[i] + thinned(int(n), limit) for i, n in enumerate(held.lengths)]
            with torch.inference_mode():
                rows = torch.from_numpy(held.tokens[np.concatenate(kept)])
                tokens[aspect].append(projection(rows).clone())
            lengths[aspect].append(np.minimum(held.lengths, limit))
    return Corpus(
        names=tuple(names),
        first=np.array(first, dtype=np.int64),
        start=np.concatenate(start),
        end=np.concatenate(end),
        boundary=np.concatenate(boundary),
        tokens={
            name: torch.cat(parts) if parts else torch.zeros((0, projections[name].width))
            for name, parts in tokens.items()
        },
        offsets={
            name: torch.from_numpy(
                np.concatenate(([0], np.cumsum(np.concatenate(parts)))).astype(np.int64)
            )
            for name, parts in lengths.items()
        },
    )


def save_corpus(corpus: Corpus, path: Path) -> None:
    """Writes a corpus for other processes to read.

    Args:
        path: A safetensors file.
    """
    tensors = {
        "first": torch.from_numpy(corpus.first),
        "start": torch.from_numpy(corpus.start),
        "end": torch.from_numpy(corpus.end),
        "boundary": torch.from_numpy(corpus.boundary),
    }
    for aspect, flat in corpus.tokens.items():
        tensors[f"tokens.{aspect}"] = flat.contiguous()
        tensors[f"offsets.{aspect}"] = corpus.offsets[aspect].contiguous()
    write_atomically(path, save(tensors, metadata={"names": json.dumps(corpus.names)}))


def load_corpus(path: Path, aspects: Iterable[str] | None = None) -> Corpus:
    """Reads a corpus back.

    Args:
        path: From ``save_corpus``.
        aspects: Which aspects to read; None reads all.

    Raises:
        DatasetError: The file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = json.loads((file.metadata() or {})["names"])
            keys = file.keys()
            held = [key.removeprefix("tokens.") for key in keys if key.startswith("tokens.")]
            wanted = held if aspects is None else list(aspects)
            return Corpus(
                names=tuple(names),
                first=file.get_tensor("first").numpy(),
                start=file.get_tensor("start").numpy(),
                end=file.get_tensor("end").numpy(),
                boundary=file.get_tensor("boundary").numpy(),
                tokens={name: file.get_tensor(f"tokens.{name}") for name in wanted},
                offsets={name: file.get_tensor(f"offsets.{name}") for name in wanted},
            )
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DatasetError(f"the prepared dataset {path} is damaged: {error}") from error
