"""Real time as sources say it, where that can be."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from av.packet import PacketSideData, packet_sidedata_type_from_literal
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.connectors.sources.file import FileSource
from streamer.decode.placing import WallClock
from streamer.events.payload import Wallclock
from streamer.timeline import FIRST_WALLCLOCK, LAST_WALLCLOCK, plausible
from tests.servers import film


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.ts"
    film.write(path)
    return path


def said(path: Path, seconds: float) -> tuple[float | None, ...]:
    """What a clock makes of the sender's time in a packet: at the packet, and long after it."""
    clock = WallClock(FileSource(path))
    side: Any = PacketSideData
    with av.open(str(path)) as container:
        packet: Any = next(container.demux(video=0))
        data = side(packet_sidedata_type_from_literal("prft"), 16)
        data.update(round(seconds * 1e6).to_bytes(8, "little", signed=True) + bytes(8))
        packet.set_sidedata(data)
        clock.packet(packet)
        assert packet.pts is not None
        at = packet.pts * packet.time_base
    return clock.at("video", at), clock.at("video", at + 10**10)


def test_a_sender_s_time_dates_its_packet(path: Path) -> None:
    now = 1_772_395_200.0
    near, far = said(path, now)
    assert near == pytest.approx(now, abs=1e-3)
    assert far is None


@pytest.mark.parametrize("seconds", [-9e12, 0.0, 86_400.0, LAST_WALLCLOCK + 1, 2.6e11, 9.2e12])
def test_a_sender_s_time_that_cannot_be_is_unknown(path: Path, seconds: float) -> None:
    assert said(path, seconds) == (None, None)


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_what_is_plausible_can_be_told(seconds: float) -> None:
    known = plausible(seconds)
    assert known in {None, seconds}
    assert (known is not None) == (FIRST_WALLCLOCK <= seconds < LAST_WALLCLOCK)
    if known is not None:
        at = Wallclock.of(known, None).time
        assert at is not None
        assert 1990 <= at.year < 2200


class Dated(FileSource):
    """A finished file that says when it began."""

    def __init__(self, path: Path, began: float) -> None:
        super().__init__(path)
        self._began = began

    def wallclock(self) -> float | None:
        return self._began


@given(
    st.floats(allow_nan=True, allow_infinity=True) | st.floats(FIRST_WALLCLOCK, LAST_WALLCLOCK),
    st.integers(-(2**63), 2**63 - 1),
)
@settings(max_examples=50, deadline=None)
def test_whatever_is_said_a_frame_has_a_real_time_or_none(
    path: Path, began: float, pts: int
) -> None:
    clock = WallClock(Dated(path, began))
    with av.open(str(path)) as container:
        clock.open(container)
    real = clock.at("video", Fraction(pts, 1000))
    assert real is None or FIRST_WALLCLOCK <= real < LAST_WALLCLOCK
    if plausible(began) is None:
        assert real is None
