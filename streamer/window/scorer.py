"""Score boundaries while shots arrive: the causal form of the mixture."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
import torch

from streamer.errors import CheckpointError, StateError
from streamer.models.experts.tokens import pad_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from streamer.models.mixture import Mixed, Moae


T = TypeVar("T")


class SlidingBuffer(Generic[T]):
    """The last ``width`` items; the first one is repeated to fill it at the start.

    With ``width = 2*w_b`` shots, pushing shot ``i`` completes the window of the boundary
    between shots ``i - w_b`` and ``i - w_b + 1`` (paper, section II-C1). Repeating the edge
    shots gives every boundary of a film a window, the first and the last included *(choice)*.

    Args:
        width: Items held, ≥ 1.
    """

    def __init__(self, width: int) -> None:
        if width < 1:
            raise ValueError(f"a buffer holds at least one item, not {width}")
        self._items: deque[T] = deque(maxlen=width)
        self.width = width

    def push(self, item: T) -> tuple[T, ...]:
        """Take an item, letting go of the oldest.

        Returns:
            The window, oldest first; always ``width`` items.
        """
        if not self._items:
            self._items.extend([item] * (self.width - 1))
        self._items.append(item)
        return tuple(self._items)

    def repeat(self) -> tuple[T, ...]:
        """Take the newest item once more: padding past the end.

        Raises:
            IndexError: Nothing was pushed yet.
        """
        return self.push(self._items[-1])

    def window(self) -> tuple[T, ...]:
        """Return what is held, oldest first; empty before the first push."""
        return tuple(self._items)

    def fill(self, items: Iterable[T]) -> None:
        """Replace what is held, as when a saved stream is resumed.

        Raises:
            ValueError: Neither none nor ``width`` items.
        """
        kept = tuple(items)
        if len(kept) not in (0, self.width):
            raise ValueError(f"a buffer of {self.width} cannot be filled with {len(kept)}")
        self._items.clear()
        self._items.extend(kept)


_Row = tuple["Tensor", "Tensor"]


@dataclass(frozen=True, slots=True)
class ExpertVote:
    """One expert's part in a decision.

    Attributes:
        name: Printed name of its row, e.g. ``MME_place_PANNs``.
        weight: Share of the score, within [0, 1]; all weights sum to one, or to zero when every
            expert is absent.
        probability: What it gives the boundary, within [0, 1]; 0 when absent.
        absent: An aspect it needs is missing in one of the two shots at the boundary.
    """

    name: str
    weight: float
    probability: float
    absent: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The score of one boundary between two shots.

    Attributes:
        boundary_index: Index of the shot that ends there.
        score: Probability of a scene boundary, within [0, 1]; 0 when every expert is absent.
        experts: Every expert of the mixture, in the checkpoint's order.
        lookahead_shots: Shots after the boundary that had closed when it was decided.
        padded: Shots beyond an end of the input were part of what was looked at.
    """

    boundary_index: int
    score: float
    experts: tuple[ExpertVote, ...]
    lookahead_shots: int
    padded: bool


class CausalScorer:
    """Score every boundary of one stream, each exactly once and in order.

    The boundary after shot ``i`` is decided at position ``L - 1 - lookahead`` of its sequence,
    once shot ``i + w_b + lookahead`` has closed, or at the end of the input.

    Args:
        model: The mixture; shared between streams, never changed.
        lookahead: Boundaries to wait for beyond the one decided, ``0 … L-1``; None takes the
            checkpoint's.

    Raises:
        CheckpointError: The look-ahead does not fit the model's sequence.
    """

    def __init__(self, model: Moae, lookahead: int | None = None) -> None:
        config = model.config
        chosen = config.lookahead if lookahead is None else lookahead
        if not 0 <= chosen < config.sequence:
            raise CheckpointError(
                f"a look-ahead of {chosen} does not fit sequences of {config.sequence} boundaries"
            )
        self.model = model
        self.lookahead = chosen
        self._shots: SlidingBuffer[_Row] = SlidingBuffer(2 * config.reach)
        self._boundaries: SlidingBuffer[_Row] = SlidingBuffer(config.sequence)
        self._pushed = 0
        self._decided = 0
        self._finished = False

    @property
    def latency_shots(self) -> int:
        """Shots that must close after a boundary before it is decided: ``w_b + lookahead``."""
        return self.model.config.reach + self.lookahead

    def push(self, tokens: Mapping[str, NDArray[np.float32]]) -> tuple[Decision, ...]:
        """Take a closed shot.

        Args:
            tokens: Aspect → float32 ``(n, dim)``; an aspect that is missing is not a key or has
                no rows. Aspects the mixture does not use are ignored.

        Returns:
            The decision that became possible, if any.

        Raises:
            CheckpointError: Tokens have another length than the mixture was trained on.
            ValueError: Tokens are not finite, or the input had ended.
        """
        return push_many([(self, tokens)])[0]

    def finish(self) -> tuple[Decision, ...]:
        """End the input: decide what is left, the last shot repeated as padding.

        Returns:
            The remaining decisions; none when there were fewer than two shots or on a second
            call.
        """
        decisions: list[Decision] = []
        self._finished = True
        seen = self._pushed
        with torch.inference_mode():
            while self._decided < self._pushed - 1:
                seen += 1
                decisions += self._advance(self._shots.repeat(), seen)
        return tuple(decisions)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Return everything needed to continue in another process, as plain arrays.

        Its size does not depend on how long the stream is.
        """
        state: dict[str, NDArray[np.generic]] = {
            "counters": np.array(
                [self._pushed, self._decided, self._finished, self.lookahead], dtype=np.int64
            ),
            "model": np.frombuffer(self.model.digest.encode("ascii"), dtype=np.uint8).copy(),
        }
        for name, buffer in self._buffers():
            rows = buffer.window()
            if rows:
                state[f"{name}.values"] = torch.stack([row[0] for row in rows]).cpu().numpy()
                state[f"{name}.present"] = torch.stack([row[1] for row in rows]).cpu().numpy()
        return state

    def restore(self, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Resume from a saved state.

        Args:
            state: From ``state`` of a segmenter with the same checkpoint and look-ahead.

        Raises:
            StateError: The state is incomplete or belongs to another checkpoint or
                look-ahead; this segmenter is then unchanged.
        """
        try:
            counters = [int(value) for value in state["counters"]]
            digest = bytes(np.asarray(state["model"], dtype=np.uint8)).decode("ascii")
        except (KeyError, ValueError, TypeError) as error:
            raise StateError(f"the saved stream state is incomplete: {error}") from error
        if digest != self.model.digest:
            raise StateError("the saved stream state belongs to another checkpoint")
        if len(counters) != 4 or not 0 <= counters[1] <= max(0, counters[0] - 1):
            raise StateError("the saved stream state has impossible counters")
        if counters[3] != self.lookahead:
            raise StateError(
                f"the saved stream state has a look-ahead of {counters[3]}, not {self.lookahead}"
            )
        restored = [self._rows(name, buffer.width, state) for name, buffer in self._buffers()]
        if any((len(rows) > 0) != (counters[0] > 0) for rows in restored):
            raise StateError("the saved stream state is incomplete")
        for (_, buffer), rows in zip(self._buffers(), restored, strict=True):
            buffer.fill(rows)
        self._pushed, self._decided = counters[:2]
        self._finished = bool(counters[2])

    def check(self, tokens: Mapping[str, NDArray[np.float32]]) -> None:
        """Check whether `push` would accept these tokens; changes nothing.

        Raises:
            CheckpointError: They have another length than the mixture was trained on.
            ValueError: They are not finite.
        """
        for name, spec in self.model.config.aspects.items():
            array = tokens.get(name)
            if array is None:
                continue
            if array.ndim != 2 or array.shape[1] != spec.dim:
                raise CheckpointError(
                    f"aspect {name} has tokens of shape {array.shape}, "
                    f"the checkpoint wants (n, {spec.dim})"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"aspect {name} has tokens that are not finite")

    def _buffers(self) -> tuple[tuple[str, SlidingBuffer[_Row]], ...]:
        return ("shots", self._shots), ("boundaries", self._boundaries)

    def _rows(self, name: str, width: int, state: Mapping[str, NDArray[np.generic]]) -> list[_Row]:
        values, present = state.get(f"{name}.values"), state.get(f"{name}.present")
        if values is None or present is None:
            return []
        size = self.model.config.size
        length = size.embedding if name == "shots" else size.relation
        branches = len(self.model.branches)
        if values.shape != (width, branches, length) or present.shape != (width, branches):
            raise StateError(f"the saved stream state has {name} of another shape")
        device = self.model.device
        return list(
            zip(
                torch.from_numpy(values.astype(np.float32)).to(device),
                torch.from_numpy(present.astype(np.bool_)).to(device),
                strict=True,
            )
        )

    def _advance(self, window: tuple[_Row, ...], seen: int) -> tuple[Decision, ...]:
        """Add the boundary whose window is complete and decide the one ``lookahead`` before.

        Args:
            window: The last ``2*w_b`` shots, padding included.
            seen: Shots pushed so far, padding included.
        """
        values, present = self.model.boundary_features(
            torch.stack([row[0] for row in window])[None],
            torch.stack([row[1] for row in window])[None],
        )
        sequence, index = self._append(values[0], present[0], seen)
        if index < 0:
            return ()
        mixed = self.model.decide(
            torch.stack([row[0] for row in sequence])[None],
            torch.stack([row[1] for row in sequence])[None],
        )
        return (self._decision(mixed, 0, index, seen),)

    def _ready(self, tokens: Mapping[str, NDArray[np.float32]]) -> None:
        if self._finished:
            raise ValueError("the input has ended")
        self.check(tokens)

    def _shift(self, vectors: Tensor, present: Tensor) -> tuple[_Row, ...]:
        """Take an embedded shot; return the window of the boundary that it completes."""
        self._pushed += 1
        return self._shots.push((vectors, present))

    def _append(self, values: Tensor, present: Tensor, seen: int) -> tuple[tuple[_Row, ...], int]:
        """Take a boundary; return the last ``L``, and which one can be decided, if ≥ 0."""
        sequence = self._boundaries.push((values, present))
        return sequence, seen - 1 - self.model.config.reach - self.lookahead

    def _decision(self, mixed: Mixed, row: int, index: int, seen: int) -> Decision:
        """Read the decision about boundary ``index`` out of one row of a batch."""
        config = self.model.config
        position = config.sequence - 1 - self.lookahead
        weights = mixed.weights[row, position].tolist()
        probability = mixed.probability[row, position].tolist()
        there = mixed.present[row, position].tolist()
        self._decided = index + 1
        first_shot = index - position - (config.reach - 1)
        return Decision(
            boundary_index=index,
            score=min(1.0, max(0.0, mixed.score[row, position].item())),
            experts=tuple(
                ExpertVote(name, weight, chance, not is_there)
                for name, weight, chance, is_there in zip(
                    config.experts, weights, probability, there, strict=True
                )
            ),
            lookahead_shots=min(self._pushed - 1 - index, self.latency_shots),
            padded=first_shot < 0 or seen > self._pushed,
        )


def push_many(
    work: Sequence[tuple[CausalScorer, Mapping[str, NDArray[np.float32]]]],
) -> list[tuple[Decision, ...]]:
    """Push one shot of each of many streams in one pass, to work off a backlog.

    Args:
        work: Segmenters of the same mixture, each at most once, and the tokens `push` would get.

    Returns:
        What `push` would return to each, scores equal to 1e-5.

    Raises:
        CheckpointError: As for `push`; no segmenter has changed then.
        ValueError: As for `push`, or segmenters of several mixtures, or one twice.
    """
    if not work:
        return []
    model = work[0][0].model
    if len({id(segmenter) for segmenter, _ in work}) < len(work):
        raise ValueError("a stream takes one shot at a time")
    for segmenter, tokens in work:
        if segmenter.model is not model:
            raise ValueError("streams of several mixtures in one batch")
        segmenter._ready(tokens)
    with torch.inference_mode():
        size, device = model.config.size, model.device
        batch = {
            name: pad_tokens(
                [tokens.get(name) for _, tokens in work], spec.dim, size.max_tokens, device
            )
            for name, spec in model.config.aspects.items()
        }
        vectors, present = model.embed(batch)
        # Copies: a view would keep the whole batch for as long as the quietest stream waits.
        windows = [
            segmenter._shift(vectors[row].clone(), present[row].clone())
            for row, (segmenter, _) in enumerate(work)
        ]
        values, both = model.boundary_features(
            torch.stack([torch.stack([shot[0] for shot in window]) for window in windows]),
            torch.stack([torch.stack([shot[1] for shot in window]) for window in windows]),
        )
        due = []
        for row, (segmenter, _) in enumerate(work):
            sequence, index = segmenter._append(
                values[row].clone(), both[row].clone(), segmenter._pushed
            )
            if index >= 0:
                due.append((row, sequence, index))
        decisions: list[tuple[Decision, ...]] = [()] * len(work)
        if due:
            mixed = model.decide(
                torch.stack([torch.stack([each[0] for each in known]) for _, known, _ in due]),
                torch.stack([torch.stack([each[1] for each in known]) for _, known, _ in due]),
            )
            for place, (row, _, index) in enumerate(due):
                segmenter = work[row][0]
                decisions[row] = (segmenter._decision(mixed, place, index, segmenter._pushed),)
    return decisions
