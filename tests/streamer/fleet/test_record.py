"""Shot records: what is written is read, and nothing else is."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.fleet.record import MAX_BYTES, RecordRefused, ShotRecord, decode, encode
from streamer.pipeline.epoch import Epoch, MissingInput
from streamer.saved import seal
from streamer.timeline import EmbeddedShot, Shot, ShotEnd, Timestamp
from tests import first_release
from tests.streamer.fleet.shots import epoch, shot

ratios = st.builds(Fraction, st.integers(-(10**9), 10**9), st.integers(1, 10**6))
ENDS: tuple[ShotEnd, ...] = get_args(ShotEnd)
bases = st.builds(Fraction, st.integers(1, 10**4), st.integers(1, 10**6))
clocks = st.none() | st.floats(0, 4e9)


@st.composite
def shot_records(draw: st.DrawFn) -> ShotRecord:
    base = draw(bases)
    start = draw(st.integers(-(10**12), 10**12))
    end = start + draw(st.integers(0, 10**9))
    names = draw(st.lists(st.sampled_from(["place", "speaker", "own_one"]), unique=True))
    seed = draw(st.integers(0, 99))
    random = np.random.default_rng(seed)
    scale = draw(st.sampled_from([1.0, 1e-6, 6e4, 1e6]))
    tokens = {
        name: (random.uniform(-1, 1, (draw(st.integers(1, 4)), 5)) * scale).astype(np.float32)
        for name in names
    }
    kind = draw(st.sampled_from(ENDS))
    where = Shot(draw(st.integers(0, 10**9)), Timestamp(start, base), Timestamp(end, base), kind)
    gap = draw(
        st.none()
        | st.builds(MissingInput, st.just("stalled"), clocks, st.integers(0, 9), st.text())
    )
    within = Epoch(
        draw(st.integers(0, 10**9)),
        Timestamp(start, base),
        draw(st.none() | bases),
        dict.fromkeys(names, "toy"),
        draw(clocks),
        draw(clocks),
        gap,
    )
    embedded = EmbeddedShot(where, tokens, draw(ratios), draw(st.floats(0, 1e6)))
    held = draw(st.none() | st.just(embedded))
    name = draw(st.text(min_size=1, max_size=200).filter(lambda text: text.isprintable()))
    return ShotRecord(
        name, "r1", draw(st.integers(0, 10**12)), within, held, draw(clocks), draw(clocks)
    )


@settings(max_examples=60, deadline=None)
@given(shot_records())
def test_a_round_trip(record: ShotRecord) -> None:
    found = decode(encode(record))
    for name in ("stream", "run", "sequence", "epoch", "wallclock", "arrival"):
        assert getattr(found, name) == getattr(record, name)
    if record.shot is None:
        assert found.shot is None
        return
    assert found.shot is not None
    assert found.shot.shot == record.shot.shot
    assert found.shot.closed_at == record.shot.closed_at
    assert set(found.shot.tokens) == set(record.shot.tokens)
    for aspect, rows in record.shot.tokens.items():
        got = found.shot.tokens[aspect]
        assert got.dtype == np.float32
        # Half a unit in the last of eleven bits; below the normal numbers, half the smallest one.
        np.testing.assert_allclose(got, rows, rtol=2**-11, atol=2**-25)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_garbage(value: bytes) -> None:
    with pytest.raises(RecordRefused, match="garbage"):
        decode(value)


WHOLE = encode(ShotRecord("film", "r", 0, epoch(0), shot(0, 1, 0)))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(1, 255))
def test_a_changed_byte(at: int, change: int) -> None:
    changed = bytearray(WHOLE)
    changed[at] ^= change
    with pytest.raises(RecordRefused):
        decode(bytes(changed))
    with pytest.raises(RecordRefused, match="garbage"):
        decode(WHOLE[:at])


def test_every_flipped_bit() -> None:
    for bit in range(8 * len(WHOLE)):
        changed = bytearray(WHOLE)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RecordRefused, match="garbage"):
            decode(bytes(changed))


def test_the_documented_layout() -> None:
    magic, form, version, kind, head, body = struct.unpack_from("<4sHH8sII", WHOLE)
    assert (magic, form, version, kind) == (b"MOAE", 1, 2, b"shot\0\0\0\0")
    assert WHOLE[24:56] == hashlib.sha256(WHOLE[:24] + WHOLE[56:]).digest()
    assert len(WHOLE) == 56 + head + body
    assert WHOLE[56 : 56 + head].startswith(b'{"kind":"shot","stream":"film"')
    first = shot(0, 1, 0).tokens["musicnn"]
    assert WHOLE[56 + head :].startswith(first.astype("<f2").tobytes())


@pytest.mark.parametrize(("at", "value"), [(4, 2), (6, 3)])
def test_newer_versions_are_named(at: int, value: int) -> None:
    other = bytearray(WHOLE)
    struct.pack_into("<H", other, at, value)
    other[24:56] = hashlib.sha256(bytes(other[:24] + other[56:])).digest()
    with pytest.raises(RecordRefused, match=r"version: .*written by a newer version"):
        decode(bytes(other))


def test_records_of_the_first_release_are_read() -> None:
    (head,) = struct.unpack_from("<I", WHOLE, 16)
    old = first_release.record(WHOLE[56 : 56 + head], WHOLE[56 + head :])
    new, found = decode(WHOLE), decode(old)
    assert replace(found, shot=None) == replace(new, shot=None)
    assert found.shot is not None
    assert new.shot is not None
    assert found.shot.shot == new.shot.shot
    for aspect, rows in new.shot.tokens.items():
        np.testing.assert_array_equal(found.shot.tokens[aspect], rows)
    for at in range(len(old)):
        changed = bytearray(old)
        changed[at] ^= 4
        with pytest.raises(RecordRefused, match="garbage"):
            decode(bytes(changed))


def test_what_is_too_large() -> None:
    with pytest.raises(RecordRefused, match="too-large"):
        decode(bytes(MAX_BYTES + 1))
    huge = {"place": np.zeros((2000, 300), np.float32)}
    large = EmbeddedShot(shot(0, 1, 0).shot, huge, Fraction(3), 0.0)
    with pytest.raises(ValueError, match="too many"):
        encode(ShotRecord("film", "r", 0, epoch(0), large))


@pytest.mark.parametrize(
    "change",
    [
        (b'"kind":"shot"', b'"kind":"end" '),
        (b'"rows":1', b'"rows":2'),
        (b'"start"', b'"strat"'),
        (b'"sequence":0', b'"sequence":x'),
        (b'"time_base":"1/25"', b'"time_base":"1/00"'),
    ],
)
def test_headers_that_do_not_fit(change: tuple[bytes, bytes]) -> None:
    (head,) = struct.unpack_from("<I", WHOLE, 16)
    text = WHOLE[56 : 56 + head].replace(*change)
    assert text != WHOLE[56 : 56 + head]
    value = seal("shot", text.decode(), WHOLE[56 + head :])
    with pytest.raises(RecordRefused, match="garbage"):
        decode(value)
