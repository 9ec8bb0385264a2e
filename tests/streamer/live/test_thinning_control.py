"""How far a stream is thinned while it is behind, and that quality returns."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.config.sections import ThinningSection
from streamer.live.degradation import ThinningControl


def relief(levels: int = 8) -> ThinningControl:
    return ThinningControl(ThinningSection(), levels)


def test_the_level_rises_step_by_step_while_a_stream_is_behind() -> None:
    control = relief(3)
    levels = [control.update(5.0, second / 2) for second in range(16)]
    assert levels == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3]


def test_a_stream_that_catches_up_is_thinned_no_further() -> None:
    control = relief()
    assert control.update(8.0, 0.0) == 1
    assert control.update(9.0, 2.0) == 2
    # A second in two is caught up, then a twentieth.
    assert [control.update(9.0 - second, 2.0 + 2 * second) for second in range(1, 7)] == [2] * 6
    assert control.update(2.9, 16.0) == 3
    assert control.update(0.9, 17.0) == 3


def test_being_behind_anew_is_answered_at_once_but_jumps_are_not_steps() -> None:
    control = relief()
    assert control.update(8.0, 0.0) == 1
    assert [control.update(lag, 0.1) for lag in (0.1, 1.5, 0.7, 1.5, 0.1)] == [1] * 5
    assert control.update(1.5, 5.0) == 2
    assert control.update(0.1, 6.0) == 2
    assert control.update(1.5, 9.0) == 3


def test_quality_returns_step_by_step_when_there_is_slack() -> None:
    control = relief()
    for second in (0, 2, 4):
        control.update(5.0, float(second))
    assert control.level == 3
    levels = [control.update(0.1, float(second)) for second in range(5, 40)]
    assert levels[:10] == [3] * 10
    assert levels[10:20] == [2] * 10
    assert levels[20:30] == [1] * 10
    assert levels[30:] == [0] * 5


def test_in_between_nothing_changes_and_slack_has_to_last() -> None:
    control = relief()
    control.update(5.0, 0.0)
    assert {control.update(0.6, float(second)) for second in range(1, 100)} == {1}
    assert control.update(0.1, 100.0) == 1
    assert control.update(0.1, 109.0) == 1
    control.update(0.5, 109.5)
    assert control.update(0.1, 112.0) == 1
    assert control.update(0.1, 122.0) == 0


def test_a_level_that_cannot_be_lowered_is_tried_ever_more_rarely() -> None:
    """A stream that just keeps up on level 1 and falls behind on level 0."""
    control, lag, tries = relief(), 0.0, []
    level = 0
    for tick in range(4 * 3600):
        now = tick / 4
        lag = max(0.0, lag + (0.2 if level == 0 else -0.4))
        before, level = level, control.update(lag, now)
        if level < before:
            tries.append(now)
    gaps = [later - sooner for sooner, later in pairwise(tries)]
    assert gaps == sorted(gaps)
    assert gaps[0] < 25
    assert gaps[-1] > 290
    assert len(tries) < 20


@settings(deadline=None)
@given(lags=st.lists(st.floats(0, 20), min_size=1, max_size=200))
def test_levels_move_by_one_and_stay_in_bounds(lags: list[float]) -> None:
    control, again = relief(4), relief(4)
    level = 0
    for second, lag in enumerate(lags):
        new = control.update(lag, float(second))
        assert new == again.update(lag, float(second))
        assert 0 <= new <= 4
        assert abs(new - level) <= 1
        level = new
