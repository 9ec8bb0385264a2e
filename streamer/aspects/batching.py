"""Embed pieces in batches: those of one shot, and those of many streams in one pass."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Self

import numpy as np
import torch

from streamer.errors import ExtractionError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Executor
    from types import TracebackType

    from numpy.typing import NDArray

    from streamer.extractor import ClipInput, Extractor, PictureInput, SoundInput


@dataclass(slots=True)
class ShotBatcher:
    """Collect pieces into batches and batches into the tokens of one shot.

    Attributes:
        extractor: Who embeds.
        batch: Pieces embedded together; 1 gives the lowest latency.
    """

    extractor: Extractor
    batch: int
    _waiting: list[torch.Tensor] = field(default_factory=list)
    _tokens: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, piece: torch.Tensor) -> None:
        """Take the shot's next piece, one row of what `Extractor.embed` takes."""
        self._waiting.append(piece)
        if len(self._waiting) >= self.batch:
            self._embed()

    def add_last(self, piece: torch.Tensor) -> None:
        """Take the shot's last piece, of the same shape, which `close` will embed."""
        self._waiting.append(piece)

    def close(self) -> NDArray[np.float32] | None:
        """End the shot and start the next.

        Returns:
            Its tokens, finite float32 ``(tokens, dim)``; None when it gave none.
        """
        self._embed()
        tokens, self._tokens = self._tokens, []
        return np.concatenate(tokens) if tokens else None

    def _embed(self) -> None:
        if self._waiting:
            with torch.inference_mode():
                rows = self.extractor.embed(torch.stack(self._waiting)).float().cpu().numpy()
            self._waiting.clear()
            observed = rows[~np.isnan(rows).all(axis=1)]
            if len(observed):
                self._tokens.append(observed)


def flush_all(
    batchers: list[ShotBatcher], pool: Executor | None = None
) -> dict[str, NDArray[np.float32]]:
    """Close a shot in every batcher.

    Args:
        batchers: Of one stream.
        pool: Threads to embed the last pieces on side by side, when the shot's end is urgent.

    Returns:
        Aspect → tokens ``(tokens, dim)``, without the aspects that gave none.
    """
    run = map if pool is None else pool.map
    closed = zip(batchers, run(ShotBatcher.close, batchers), strict=True)
    return {batcher.extractor.aspect: tokens for batcher, tokens in closed if tokens is not None}


OnBatch = Callable[[str, int, float], None]
"""Called with the aspect, the rows of a pass and the seconds that its oldest part had waited."""

_JOIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How calls are merged.

    Attributes:
        rows: Most pieces in one pass.
        wait: Most seconds that a piece waits for others to join it while the network is idle.
        queued: Calls of one stream that may wait; more wait outside.
        deadline: Seconds after which a call fails.
    """

    rows: int
    wait: float
    queued: int = 16
    deadline: float = 60.0

    @classmethod
    def for_device(cls, device: torch.device, wait: float = 0.05) -> BatchPolicy:
        """Choose what is fastest on a device.

        A GPU is filled by waiting a little for more pieces. On a CPU a pass over more rows is
        only some percent cheaper a row, so nothing waits, and what has piled up is merged.
        """
        if device.type == "cpu":
            return cls(rows=8, wait=0.0)
        return cls(rows=256, wait=wait)


@dataclass(slots=True)
class _Part:
    """Rows of one call that go through the network together."""

    pieces: torch.Tensor
    since: float
    ready: threading.Event = field(default_factory=threading.Event)
    tokens: torch.Tensor | None = None
    error: BaseException | None = None
    abandoned: bool = False

    def settle(self, tokens: torch.Tensor | None, error: BaseException | None) -> None:
        self.tokens, self.error = tokens, error
        self.ready.set()


class SharedExtractor:
    """An extractor that many streams use at once, through a `view` each.

    Calls are taken from the streams in turn, one part of a stream before the next of another, so
    a stream that floods waits for its own pieces. A token does not depend on what shared its
    pass. Where a merged pass fails, each part is tried alone: an error reaches its own caller only.

    Args:
        extractor: Who embeds, on a thread of its own.
        policy: How calls are merged.
        gate: Bounds how many networks run at once.
        on_batch: Called after every pass.
    """

    def __init__(
        self,
        extractor: Extractor,
        policy: BatchPolicy,
        gate: threading.Semaphore,
        on_batch: OnBatch | None = None,
    ) -> None:
        self.extractor: Final = extractor
        self._policy, self._gate, self._on_batch = policy, gate, on_batch
        self._changed = threading.Condition()
        # Streams with something waiting, the one whose turn is next first.
        self._waiting: OrderedDict[str, deque[_Part]] = OrderedDict()
        self._streams: set[str] = set()
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"embed-{extractor.aspect}", daemon=True
        )
        self._thread.start()

    def view(self, stream: str) -> SharedView:
        """Return the extractor as one stream sees it."""
        with self._changed:
            self._streams.add(stream)
        return SharedView(self, stream)

    def release(self, stream: str) -> None:
        """Forget a stream, so that no pass waits for it."""
        with self._changed:
            self._streams.discard(stream)
            self._changed.notify_all()

    def embed(self, pieces: torch.Tensor, stream: str) -> torch.Tensor:
        """Embed a batch of one stream; see `Extractor.embed`.

        Raises:
            ExtractionError: There was no result in time, or the extractor was closed.
        """
        if not len(pieces):
            return self.extractor.embed(pieces)
        deadline = time.monotonic() + self._policy.deadline
        now = time.monotonic()
        parts = [_Part(part, now) for part in torch.split(pieces, self._policy.rows)]
        try:
            for part in parts:
                self._enqueue(part, stream, deadline)
            return self._collect(parts, deadline)
        except BaseException:
            for part in parts:
                part.abandoned = True
            raise

    def close(self) -> None:
        """End the thread; calls that still wait fail. May be called twice."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
        self._thread.join(_JOIN_SECONDS)

    def _enqueue(self, part: _Part, stream: str, deadline: float) -> None:
        with self._changed:
            while (
                not self._closed.is_set()
                and len(self._waiting.get(stream, ())) >= self._policy.queued
            ):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise self._late()
            if self._closed.is_set():
                raise self._ended()
            self._waiting.setdefault(stream, deque()).append(part)
            self._changed.notify_all()

    def _collect(self, parts: list[_Part], deadline: float) -> torch.Tensor:
        tokens = []
        for part in parts:
            if not part.ready.wait(max(0.0, deadline - time.monotonic())):
                raise self._late()
            if part.error is not None:
                raise part.error
            assert part.tokens is not None
            tokens.append(part.tokens)
        return tokens[0] if len(tokens) == 1 else torch.cat(tokens)

    def _run(self) -> None:
        try:
            while (parts := self._next()) is not None:
                if parts:
                    with self._gate:
                        self._pass(parts)
        finally:
            with self._changed:
                self._closed.set()
                left = [part for parts in self._waiting.values() for part in parts]
                self._waiting.clear()
                self._changed.notify_all()
            for part in left:
                part.settle(None, self._ended())

    def _next(self) -> list[_Part] | None:
        """Choose the parts of the next pass, fairly; None when there will be no more."""
        with self._changed:
            while not self._waiting and not self._closed.is_set():
                self._changed.wait()
            if self._closed.is_set():
                return None
            oldest = min(parts[0].since for parts in self._waiting.values())
            while not self._closed.is_set() and self._worth_waiting():
                left = oldest + self._policy.wait - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            chosen: list[_Part] = []
            rows = 0
            while self._waiting:
                stream, parts = next(iter(self._waiting.items()))
                if chosen and rows + len(parts[0].pieces) > self._policy.rows:
                    break
                part = parts.popleft()
                del self._waiting[stream]
                if parts:
                    self._waiting[stream] = parts
                if not part.abandoned:
                    chosen.append(part)
                    rows += len(part.pieces)
            self._changed.notify_all()
            return chosen

    def _worth_waiting(self) -> bool:
        """Return whether a stream has nothing waiting and there is room for more."""
        if len(self._waiting) >= len(self._streams):
            return False
        rows = sum(len(part.pieces) for parts in self._waiting.values() for part in parts)
        return rows < self._policy.rows

    def _pass(self, parts: list[_Part]) -> None:
        if self._on_batch is not None:
            waited = time.monotonic() - min(part.since for part in parts)
            rows = sum(len(part.pieces) for part in parts)
            self._on_batch(self.extractor.aspect, rows, waited)
        if len(parts) > 1:
            try:
                tokens = self._embed(torch.cat([part.pieces for part in parts]))
            except Exception:  # noqa: BLE001  (whose it is shows when each is alone)
                tokens = None
            if tokens is not None:
                done = 0
                for part in parts:
                    own = tokens[done : done + len(part.pieces)]
                    done += len(part.pieces)
                    part.settle(own.clone(), None)
                return
        for part in parts:
            try:
                part.settle(self._embed(part.pieces), None)
            except Exception as error:  # noqa: BLE001  (it crosses to the caller's thread)
                part.settle(None, error)

    def _embed(self, pieces: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return self.extractor.embed(pieces)

    def _late(self) -> ExtractionError:
        return ExtractionError(
            f"{self.extractor.network}: no result within {self._policy.deadline:g} s"
        )

    def _ended(self) -> ExtractionError:
        return ExtractionError(f"{self.extractor.network}: closed")


@dataclass(frozen=True, slots=True)
class SharedView:
    """An `Extractor` that belongs to one stream and shares its network with others.

    Attributes:
        shared: Who embeds.
        stream: Whose pieces these are; counts for fairness.
    """

    shared: SharedExtractor
    stream: str

    @property
    def aspect(self) -> str:
        """Slot it fills."""
        return self.shared.extractor.aspect

    @property
    def network(self) -> str:
        """Honest name of the network."""
        return self.shared.extractor.network

    @property
    def kind(self) -> Literal["picture", "clip", "sound"]:
        """What the pieces are."""
        return self.shared.extractor.kind

    @property
    def input(self) -> PictureInput | ClipInput | SoundInput:
        """What one piece looks like."""
        return self.shared.extractor.input

    @property
    def dim(self) -> int:
        """Length of a token."""
        return self.shared.extractor.dim

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        """Embed a batch, perhaps together with other streams'; see `Extractor.embed`."""
        return self.shared.embed(pieces, self.stream)


class SharedExtractors:
    """All extractors of a process, shared by its streams.

    Args:
        extractors: One per aspect.
        policy: How calls are merged.
        at_once: Networks that may run at the same time.
        on_batch: Called after every pass.
    """

    def __init__(
        self,
        extractors: Iterable[Extractor],
        policy: BatchPolicy,
        *,
        at_once: int,
        on_batch: OnBatch | None = None,
    ) -> None:
        gate = threading.Semaphore(at_once)
        self._shared = tuple(SharedExtractor(each, policy, gate, on_batch) for each in extractors)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def views(self, stream: str) -> tuple[Extractor, ...]:
        """Return the extractors as one stream sees them; `release` them when it ends."""
        return tuple(each.view(stream) for each in self._shared)

    def release(self, stream: str) -> None:
        """Forget a stream."""
        for each in self._shared:
            each.release(stream)

    def close(self) -> None:
        """End all threads; calls that still wait fail."""
        for each in self._shared:
            each.close()
