from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from streamer.aspects.audio import full_windows, last_window
from streamer.extractor import ClipInput, PictureInput, SoundInput

specs = st.builds(
    lambda window, share: SoundInput(16000, window, max(1, window * share // 4)),
    st.integers(1, 5000),
    st.integers(1, 4),
)


@given(specs, st.integers(0, 20_000))
def test_whole_windows_lie_inside_the_shot_and_no_more_would_fit(
    spec: SoundInput, length: int
) -> None:
    count = full_windows(length, spec)
    if count:
        assert (count - 1) * spec.hop + spec.window <= length
    assert count * spec.hop + spec.window > length


@given(specs, st.integers(1, 20_000))
def test_every_shot_gives_a_piece_and_at_most_half_a_hop_stays_unheard(
    spec: SoundInput, length: int
) -> None:
    count, rest = full_windows(length, spec), last_window(length, spec)
    assert count or rest
    covered = rest[1] if rest else (count - 1) * spec.hop + spec.window
    assert 2 * (length - covered) < max(spec.hop, 1)
    if rest:
        assert 0 <= rest[0] < rest[1] == length
        assert rest[1] - rest[0] <= spec.window


@given(specs, st.lists(st.integers(0, 20_000), max_size=8))
def test_windows_found_while_running_are_those_found_at_the_end(
    spec: SoundInput, lengths: list[int]
) -> None:
    counts = [full_windows(length, spec) for length in sorted(lengths)]
    assert counts == sorted(counts)


def test_an_empty_shot_has_nothing_left() -> None:
    assert last_window(0, SoundInput(16000, 100, 50)) is None


def test_every_kind_of_input_says_how_much_time_a_piece_spans() -> None:
    assert SoundInput(16000, 8000, 4000).latency == Fraction(1, 2)
    assert ClipInput(4, 4, 25, Fraction(1, 24)).latency == 1
    assert PictureInput(8, 8, Fraction(2)).latency == 0
