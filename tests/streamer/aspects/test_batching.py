"""Merged passes: the same tokens, fair turns, errors to their own callers, and an end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.aspects.batching import BatchPolicy, SharedExtractor, SharedExtractors
from streamer.config.sections import AspectsSection
from streamer.errors import ExtractionError
from streamer.extractor import Extractor, PictureInput, SoundInput
from streamer.models.networks.registry import build
from streamer.models.weights.store import WeightStore


@dataclass
class Doubler:
    """Doubles numbers; refuses negative ones; waits while its door is closed."""

    aspect: str = "double"
    network: str = "doubler"
    kind: Literal["sound"] = "sound"
    input: SoundInput = field(default_factory=lambda: SoundInput(1, 1, 1))
    dim: int = 1
    door: threading.Event = field(default_factory=threading.Event)
    entered: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    passes: list[list[float]] = field(default_factory=list)

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        self.passes.append(pieces[:, 0].tolist())
        self.entered.release()
        assert self.door.wait(60)
        if bool((pieces < 0).any()):
            raise ValueError("negative")
        return pieces * 2


@pytest.fixture
def doubler() -> Doubler:
    return Doubler()


def shared(extractor: Extractor, policy: BatchPolicy, gate: int = 4) -> SharedExtractor:
    return SharedExtractor(extractor, policy, threading.Semaphore(gate))


def row(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers)[:, None]


def waiting(what: SharedExtractor, count: int) -> None:
    """Returns when so many parts wait."""
    with what._changed:
        assert what._changed.wait_for(
            lambda: sum(map(len, what._waiting.values())) >= count, timeout=60
        )


def test_what_waits_while_the_network_is_busy_goes_through_together(doubler: Doubler) -> None:
    with ThreadPoolExecutor(8) as pool:
        what = shared(doubler, BatchPolicy(rows=8, wait=0.0))
        first = pool.submit(what.view("a").embed, row(1))
        doubler.entered.acquire()
        rest = [pool.submit(what.view(f"s{n}").embed, row(n, n + 0.5)) for n in range(2, 6)]
        waiting(what, 4)
        doubler.door.set()
        assert first.result(60).tolist() == [[2.0]]
        for number, future in enumerate(rest, start=2):
            assert future.result(60).tolist() == [[2.0 * number], [2.0 * number + 1]]
        assert [len(each) for each in doubler.passes] == [1, 8]
        what.close()


def test_a_flood_of_one_stream_does_not_delay_another_beyond_its_share(doubler: Doubler) -> None:
    policy = BatchPolicy(rows=2, wait=0.0, queued=64)
    with ThreadPoolExecutor(40) as pool:
        what = shared(doubler, policy)
        first = pool.submit(what.view("quiet").embed, row(0))
        doubler.entered.acquire()
        flood = [pool.submit(what.view("flood").embed, row(n)) for n in range(100, 130)]
        waiting(what, 30)
        quiet = [pool.submit(what.view("quiet").embed, row(n)) for n in (1, 2)]
        waiting(what, 32)
        doubler.door.set()
        for future in (first, *quiet, *flood):
            future.result(60)
        # Its two calls are in the next two passes although thirty waited before them.
        assert {1.0, 2.0} <= set(doubler.passes[1] + doubler.passes[2])
        assert len(doubler.passes) == 1 + 16
        what.close()


def test_a_flood_waits_outside(doubler: Doubler) -> None:
    with ThreadPoolExecutor(12) as pool:
        what = shared(doubler, BatchPolicy(rows=1, wait=0.0, queued=3))
        flood = [pool.submit(what.view("flood").embed, row(n)) for n in range(10)]
        doubler.entered.acquire()
        waiting(what, 3)
        assert len(what._waiting["flood"]) == 3
        doubler.door.set()
        assert sorted(future.result(60).item() for future in flood) == [2.0 * n for n in range(10)]
        what.close()


def test_an_error_reaches_its_own_caller_only(doubler: Doubler) -> None:
    with ThreadPoolExecutor(4) as pool:
        what = shared(doubler, BatchPolicy(rows=8, wait=0.0))
        first = pool.submit(what.view("a").embed, row(1))
        doubler.entered.acquire()
        good = pool.submit(what.view("b").embed, row(2))
        bad = pool.submit(what.view("c").embed, row(-1))
        odd = pool.submit(what.view("d").embed, torch.zeros(1, 7))
        waiting(what, 3)
        doubler.door.set()
        assert first.result(60).item() == 2.0
        assert good.result(60).item() == 4.0
        assert odd.result(60).shape == (1, 7)
        with pytest.raises(ValueError, match="negative"):
            bad.result(60)
        assert what.view("c").embed(row(3)).item() == 6.0
        what.close()


def test_pieces_wait_for_the_other_streams_and_no_longer_than_they_may(doubler: Doubler) -> None:
    doubler.door.set()
    with ThreadPoolExecutor(4) as pool:
        patient = shared(doubler, BatchPolicy(rows=64, wait=30.0))
        views = [patient.view(name) for name in "abc"]
        futures = [pool.submit(view.embed, row(n)) for n, view in enumerate(views)]
        for future in futures:
            future.result(20)
        assert sorted(doubler.passes[0]) == [0.0, 1.0, 2.0]
        patient.release("b")
        patient.release("c")
        # Nobody is left to wait for.
        assert views[0].embed(row(5)).item() == 10.0
        patient.close()
        hasty = shared(doubler, BatchPolicy(rows=64, wait=0.05))
        hasty.view("absent")
        assert hasty.view("a").embed(row(7)).item() == 14.0
        hasty.close()


def test_a_full_batch_waits_for_nobody(doubler: Doubler) -> None:
    doubler.door.set()
    what = shared(doubler, BatchPolicy(rows=2, wait=600.0))
    what.view("absent")
    assert what.view("a").embed(row(1, 2, 3, 4)).flatten().tolist() == [2.0, 4.0, 6.0, 8.0]
    what.close()


def test_a_call_has_a_deadline_and_what_it_asked_for_is_then_not_computed(
    doubler: Doubler,
) -> None:
    with ThreadPoolExecutor(4) as pool:
        what = shared(doubler, BatchPolicy(rows=1, wait=0.0, queued=1, deadline=0.2))
        calls = [pool.submit(what.view("a").embed, row(n)) for n in (1, 2, 3)]
        doubler.entered.acquire()
        for call in calls:
            with pytest.raises(ExtractionError, match=r"doubler: no result within 0\.2 s"):
                call.result(60)
        doubler.door.set()
        assert what.view("a").embed(row(9)).item() == 18.0
        assert len(doubler.passes) == 2
        what.close()


def test_closing_ends_calls_that_wait(doubler: Doubler) -> None:
    with ThreadPoolExecutor(4) as pool:
        what = shared(doubler, BatchPolicy(rows=1, wait=0.0))
        first = pool.submit(what.view("a").embed, row(1))
        doubler.entered.acquire()
        second = pool.submit(what.view("b").embed, row(2))
        waiting(what, 1)
        closing = pool.submit(what.close)
        with what._changed:
            assert what._changed.wait_for(what._closed.is_set, timeout=60)
        doubler.door.set()
        closing.result(60)
        assert first.result(60).item() == 2.0
        with pytest.raises(ExtractionError, match="doubler: closed"):
            second.result(60)
        with pytest.raises(ExtractionError, match="closed"):
            what.view("a").embed(row(1))
        what.close()
    assert not [each for each in threading.enumerate() if each.name == "embed-double"]


def test_networks_that_run_at_once_are_bounded() -> None:
    inside, most, lock = [0], [0], threading.Lock()

    @dataclass
    class Busy(Doubler):
        def embed(self, pieces: torch.Tensor) -> torch.Tensor:
            with lock:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
            made = torch.randn(60, 60) @ torch.randn(60, 60)
            with lock:
                inside[0] -= 1
            return pieces + 0 * made.sum()

    extractors = [Busy(aspect=f"a{n}") for n in range(6)]
    with SharedExtractors(extractors, BatchPolicy(rows=1, wait=0.0), at_once=2) as group:
        views = group.views("s")
        with ThreadPoolExecutor(6) as pool:
            for _ in range(20):
                list(pool.map(lambda view: view.embed(row(1)), views))
    assert 1 <= most[0] <= 2


def test_passes_are_reported() -> None:
    told: list[tuple[str, int, float]] = []
    doubler = Doubler()
    doubler.door.set()
    with SharedExtractors(
        [doubler],
        BatchPolicy(rows=4, wait=0.0),
        at_once=1,
        on_batch=lambda aspect, rows, waited: told.append((aspect, rows, waited)),
    ) as group:
        (view,) = group.views("s")
        assert (view.aspect, view.network, view.kind, view.dim) == ("double", "doubler", "sound", 1)
        view.embed(row(1, 2, 3, 4, 5))
        assert view.embed(torch.zeros(0, 1)).shape == (0, 1)
    assert [(aspect, rows) for aspect, rows, _ in told][:2] == [("double", 4), ("double", 1)]
    assert all(0 <= waited < 60 for _, _, waited in told)


@pytest.fixture(scope="module")
def networks(weight_store: WeightStore) -> list[Extractor]:
    return [
        build(aspect, section.network, weight_store, torch.device("cpu"), Fraction(2))
        for aspect, section in AspectsSection().slots.items()
        if aspect in {"place", "speaker", "vggish", "openl3", "stft"}
    ]


def pieces_for(extractor: Extractor, seed: int, rows: int) -> torch.Tensor:
    random = np.random.default_rng(seed)
    spec = extractor.input
    if isinstance(spec, PictureInput):
        shape = (rows, 3, spec.height, spec.width)
        return torch.from_numpy(random.integers(0, 256, shape, dtype=np.uint8))
    assert isinstance(spec, SoundInput)
    scale = random.uniform(0, 0.5, (rows, 1))
    return torch.from_numpy((random.standard_normal((rows, spec.window)) * scale).astype("f4"))


@settings(max_examples=6, deadline=None)
@given(
    calls=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=2, max_size=6),
    which=st.integers(0, 4),
    rows=st.sampled_from([2, 5, 8]),
)
def test_tokens_are_those_of_each_call_alone(
    networks: list[Extractor], calls: list[tuple[int, int]], which: int, rows: int
) -> None:
    extractor = networks[which]
    pieces = [pieces_for(extractor, seed, count) for seed, (_, count) in enumerate(calls)]
    told: list[int] = []
    what = SharedExtractor(
        extractor,
        BatchPolicy(rows=rows, wait=0.02),
        threading.Semaphore(1),
        lambda _aspect, merged, _waited: told.append(merged),
    )
    try:
        views = [what.view(f"s{stream}") for stream, _ in calls]
        with ThreadPoolExecutor(len(calls)) as pool:
            made = list(pool.map(lambda view, piece: view.embed(piece), views, pieces))
    finally:
        what.close()
    assert sum(told) == sum(count for _, count in calls)
    for piece, tokens in zip(pieces, made, strict=True):
        alone = extractor.embed(piece)
        scale = alone.norm(dim=1, keepdim=True).clamp_min(1e-9)
        assert float(((tokens - alone) / scale).abs().max()) < 1e-5
