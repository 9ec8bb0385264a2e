"""One stream's segmentation: the same however it is cut into processes, and honest about gaps."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import CheckpointError, StateError
from streamer.events.payload import Boundary, Gap, Scene, to_json
from streamer.events.payload import Shot as ShotEvent
from streamer.pipeline.epoch import Epoch, MissingInput
from streamer.pipeline.segmentation import StreamSegmentation
from streamer.timeline import EmbeddedShot, Shot, Timestamp
from tests import first_release
from tests.models.toy import toy_model

if TYPE_CHECKING:
    from streamer.events.payload import EventData
    from streamer.models.mixture import Moae

BASE = Fraction(1, 90000)


def named_model() -> Moae:
    model = toy_model()
    model.digest = "ab" * 32
    return model


@pytest.fixture(scope="module")
def model() -> Moae:
    return named_model()


def epoch(number: int, gap: MissingInput | None = None) -> Epoch:
    return Epoch(number, Timestamp(0, BASE), Fraction(25), {"place": "toy"}, gap=gap)


def shots(model: Moae, count: int, seed: int) -> list[EmbeddedShot]:
    random = np.random.default_rng(seed)
    made = []
    for index in range(count):
        tokens = {
            name: random.normal(size=(2, spec.dim)).astype(np.float32)
            for name, spec in model.config.aspects.items()
        }
        start, end = Timestamp(index * 180_000, BASE), Timestamp((index + 1) * 180_000, BASE)
        made.append(EmbeddedShot(Shot(index, start, end, "cut"), tokens, end.seconds, 0.0))
    return made


def said(events: list[EventData]) -> list[object]:
    """Everything but the time it took."""
    dumps: list[object] = []
    for event in events:
        data = to_json(event)
        for key in ("latency", "latency_seconds"):
            data.pop(key, None)
        dumps.append(data)
    return dumps


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(st.integers(2, 30), st.integers(0, 29), st.integers(0, 5))
def test_going_on_in_another_process_changes_nothing(count: int, cut: int, seed: int) -> None:
    model = named_model()
    film = shots(model, count, seed)
    whole = StreamSegmentation("film", model, threshold=0.5, lookahead=1)
    whole.begin(epoch(0))
    expected = [event for shot in film for event in whole.push(shot)] + whole.finish()

    first = StreamSegmentation("film", model, threshold=0.5, lookahead=1)
    first.begin(epoch(0))
    cut = min(cut, count)
    events = [event for shot in film[:cut] for event in first.push(shot)]
    second = StreamSegmentation("film", model, threshold=0.5, lookahead=1)
    second.restore(first.state())
    assert second.shots == cut
    events += [event for shot in film[cut:] for event in second.push(shot)] + second.finish()
    assert said(events) == said(expected)


def test_every_boundary_across_a_gap_is_scored(model: Moae) -> None:
    one = StreamSegmentation("film", model, threshold=0.0, lookahead=0)
    events = one.begin(epoch(0))
    for shot in shots(model, 3, 0):
        events += one.push(shot)
    events += one.begin(epoch(1, MissingInput("closed", lost_from=5.0)))
    for shot in shots(model, 4, 1):
        events += one.push(shot)
    events += one.finish()
    boundaries = [event for event in events if isinstance(event, Boundary)]
    assert [(b.epoch, b.boundary_index, b.across_gap) for b in boundaries] == [
        (0, 0, False),
        (0, 1, False),
        (1, -1, True),
        (1, 0, False),
        (1, 1, False),
        (1, 2, False),
    ]
    assert sum(isinstance(event, ShotEvent) for event in events) == 7
    assert sum(isinstance(event, Scene) for event in events) == 7
    assert sum(isinstance(event, Gap) for event in events) == 1


def test_a_state_is_refused_where_it_does_not_belong(model: Moae) -> None:
    one = StreamSegmentation("film", model, threshold=0.5, lookahead=1)
    one.begin(epoch(0))
    for shot in shots(model, 5, 0):
        one.push(shot)
    state = one.state()
    with pytest.raises(StateError, match="another stream"):
        StreamSegmentation("other", model, threshold=0.5, lookahead=1).restore(state)
    with pytest.raises(StateError, match="look-ahead"):
        StreamSegmentation("film", model, lookahead=2).restore(state)
    for broken in (b"", state[:40], state[: len(state) // 2], b"\xff" * 100):
        fresh = StreamSegmentation("film", model, threshold=0.5, lookahead=1)
        with pytest.raises(StateError):
            fresh.restore(broken)
        assert fresh.shots == 0
    for bit in range(0, 8 * len(state), 101):
        changed = bytearray(state)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(StateError):
            fresh.restore(bytes(changed))
    assert fresh.shots == 0
    fresh.restore(first_release.segmentation(one))
    assert fresh.state() == state


@pytest.mark.slow
def test_a_state_does_not_grow(model: Moae) -> None:
    one = StreamSegmentation("film", model, threshold=0.5, lookahead=1)
    one.begin(epoch(0))
    sizes = []
    for shot in shots(model, 200, 0):
        one.push(shot)
        sizes.append(len(one.state()))
    assert max(sizes[100:]) < sizes[50] + 200


def test_a_shot_that_does_not_fit_changes_nothing(model: Moae) -> None:
    one = StreamSegmentation("film", model)
    one.begin(epoch(0))
    first, second = shots(model, 2, 0)
    one.push(first)
    name = next(iter(model.config.aspects))
    wrong = EmbeddedShot(second.shot, {name: np.zeros((1, 3), np.float32)}, Fraction(4), 0.0)
    with pytest.raises(CheckpointError, match=name):
        one.push(wrong)
    one.push(second)
    assert one.shots == 2
