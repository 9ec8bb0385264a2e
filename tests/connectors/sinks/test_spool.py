"""Nothing is lost, nothing changes its place, and nothing grows without a limit."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.connectors.sinks.leftovers import leftovers
from streamer.connectors.sinks.spool import Spool
from streamer.errors import SinkError
from streamer.saved import seal
from tests import first_release

LIMIT = 1000


def opened(path: Path, limit: int = LIMIT, **options: object) -> Spool:
    spool = Spool(path, limit, **options)  # type: ignore[arg-type] # a test's shorthand
    spool.open("kafka://localhost:9092/scenes", "film")
    return spool


def lines(spool: Spool, after: int = 0) -> list[bytes]:
    return [stored.line for stored in spool.after(after, 10_000)]


def test_what_was_put_is_there_after_a_restart_in_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.spool"
    spool = opened(path)
    for number in range(5):
        spool.put(b"%d" % number)
    first = spool.after(0, 2)
    assert [stored.line for stored in first] == [b"0", b"1"]
    spool.remove([first[0].number])
    spool.close()
    spool.close()
    again = opened(path)
    assert lines(again) == [b"1", b"2", b"3", b"4"]
    assert (again.state.events, again.state.size, again.state.taken) == (4, 4, 0)
    again.put(b"5")
    assert lines(again, after=first[1].number) == [b"2", b"3", b"4", b"5"]
    again.close()


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.binary(max_size=40)),
        st.tuples(st.just("remove"), st.integers(0, 8)),
        st.tuples(st.just("reopen"), st.none()),
    ),
    max_size=25,
)


@settings(max_examples=30, deadline=None)
@given(steps)
def test_it_is_a_queue_whatever_happens(plan: list[tuple[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.spool"
        spool, model = opened(path), list[bytes]()
        for step, value in plan:
            if isinstance(value, bytes):
                spool.put(value)
                model.append(value)
            elif isinstance(value, int):
                spool.remove([stored.number for stored in spool.after(0, value)])
                del model[:value]
            elif step == "reopen":
                spool.close()
                spool = opened(path)
            assert lines(spool) == model
            assert spool.state.events == len(model)
            assert spool.state.size == sum(map(len, model))
        spool.close()


def test_the_oldest_make_room_only_where_that_was_asked_for(tmp_path: Path) -> None:
    spool = opened(tmp_path / "a.spool", 10, full="drop-oldest")
    assert [spool.put(text) for text in (b"aaaa", b"bbbb", b"c", b"dddd")] == [0, 0, 0, 1]
    assert lines(spool) == [b"bbbb", b"c", b"dddd"]
    assert spool.put(b"e" * 10) == 3
    assert (spool.state.dropped, spool.state.events, spool.state.size) == (4, 1, 10)
    with pytest.raises(SinkError, match="larger than the whole spool"):
        spool.put(b"f" * 11)
    assert lines(spool) == [b"e" * 10]
    spool.close()


def test_a_full_spool_waits_for_room_and_then_says_so(tmp_path: Path) -> None:
    spool = opened(tmp_path / "a.spool", 4, patience=0.01)
    spool.put(b"aaaa")
    with pytest.raises(SinkError, match=r"spool full: 1 events of 4 bytes wait.* in 0.01 s"):
        spool.put(b"b")
    assert lines(spool) == [b"aaaa"]
    spool.close()

    patient = opened(tmp_path / "b.spool", 4, patience=60.0)
    patient.put(b"aaaa")
    number = patient.after(0, 1)[0].number
    taker = threading.Thread(target=patient.remove, args=([number],))
    taker.start()
    assert patient.put(b"bb") == 0
    taker.join()
    assert lines(patient) == [b"bb"]
    patient.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    spool = opened(path)
    spool.put(b"a")
    with pytest.raises(SinkError, match="in use by another process"):
        opened(path)
    assert [each.busy for each in leftovers(tmp_path)] == [True]
    spool.close()
    (found,) = leftovers(tmp_path)
    assert (found.busy, found.stream, found.events, found.size) == (False, "film", 1, 1)
    assert found.target == "kafka://localhost:9092/scenes"
    assert leftovers(tmp_path / "none") == []


def test_an_event_that_nobody_takes_does_not_stand_in_the_way(tmp_path: Path) -> None:
    spool = opened(tmp_path / "a.spool")
    spool.put(b"poison")
    spool.put(b"good")
    spool.refuse(spool.after(0, 1)[0].number, "too large")
    assert lines(spool) == [b"good"]
    assert (spool.state.refused, spool.state.size) == (1, 4)
    spool.close()
    assert leftovers(tmp_path)[0].refused == 1
    with sqlite3.connect(tmp_path / "a.spool") as database:
        row = database.execute("SELECT line, reason FROM refused").fetchone()
    database.close()
    assert row == (b"poison", "too large")


PUTTER = """
import os, sys
from pathlib import Path
from streamer.connectors.sinks.spool import Spool
spool = Spool(Path(sys.argv[1]), 1 << 20)
spool.open("kafka://localhost/scenes", "film")
number = 0
while True:
    spool.put(b"%d" % number)
    os.write(1, b"%d\\n" % number)
    number += 1
"""


def test_a_kill_at_any_moment_loses_nothing_that_was_told(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    command = [sys.executable, "-c", PUTTER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(20)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
    spool = opened(path)
    kept = lines(spool)
    spool.close()
    assert kept[: len(told)] == [line.strip() for line in told]
    # One may have been stored and not told.
    assert len(kept) - len(told) in {0, 1}


FILLER = """
import resource, sys
from pathlib import Path
from streamer.connectors.sinks.spool import Spool
from streamer.errors import SinkError
spool = Spool(Path(sys.argv[1]), 1 << 30)
spool.open("kafka://localhost/scenes", "film")
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
stored = 0
try:
    while True:
        spool.put(b"%5d" % stored * 2000)
        stored += 1
except SinkError as error:
    print(stored, error)
"""


def test_a_full_disk_is_said_and_what_was_stored_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    done = subprocess.run(
        [sys.executable, "-c", FILLER, str(path)], capture_output=True, text=True, check=True
    )
    stored, _, message = done.stdout.partition(" ")
    assert "event not stored: " in message
    assert int(stored) > 5
    spool = opened(path, 1 << 30)
    assert lines(spool) == [b"%5d" % number * 2000 for number in range(int(stored))]
    spool.close()


def test_places_that_are_no_spool(tmp_path: Path) -> None:
    film = tmp_path / "film.spool"
    film.write_bytes(b"\x00\x00\x00\x18ftypmp42" * 1000)
    whole = tmp_path / "whole.spool"
    filled = opened(whole)
    filled.put(b"an event")
    filled.close()
    # Its maker was killed before there were tables.
    (tmp_path / "empty.spool").touch()
    found = {left.path.name: left for left in leftovers(tmp_path)}
    assert "cannot be read" in found["film.spool"].problem
    assert (found["whole.spool"].events, found["whole.spool"].problem) == (1, "")
    assert (found["empty.spool"].events, found["empty.spool"].problem) == (0, "")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(SinkError, match="cannot be made"):
        opened(blocked / "a.spool")
    spool = Spool(tmp_path / "b.spool", LIMIT)
    with pytest.raises(SinkError, match="not open"):
        spool.put(b"a")


def test_a_file_that_is_no_spool_is_put_aside(tmp_path: Path) -> None:
    path, said = tmp_path / "a.spool", list[str]()
    for end in ("", ".2", ".3", ".4"):
        path.write_bytes(b"\x00\x00\x00\x18ftypmp42" * 1000)
        spool = opened(path, warn=said.append)
        assert said.pop().startswith(f"{path}: damaged (file is not a database); put aside as")
        assert (tmp_path / f"a.spool.damaged{end}").stat().st_size == 12_000
        spool.put(b"an event")
        assert lines(spool) == [b"an event"]
        spool.close()
    path.write_bytes(b"the newest")
    opened(path).close()
    aside = [each.read_bytes() for each in tmp_path.glob("*.damaged*")]
    assert len(aside) == 4
    assert b"the newest" in aside


def test_a_newer_spool_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "newer.spool"
    opened(path).close()
    note = bytearray(seal("spool", "{}"))
    note[6] = 9
    note[24:56] = hashlib.sha256(bytes(note[:24] + note[56:])).digest()
    database = sqlite3.connect(path)
    database.execute("UPDATE about SET note = ?", (bytes(note),))
    database.commit()
    database.close()
    before = path.read_bytes()
    with pytest.raises(SinkError, match="written by a newer version of this program"):
        opened(path)
    assert path.read_bytes() == before


def test_a_spool_of_the_first_release_is_read_and_renewed(tmp_path: Path) -> None:
    path, old = tmp_path / "a.spool", [b'{"a": %d}\n' % number for number in range(40)]
    first_release.spool(path, "kafka://localhost:9092/scenes", "film", old)
    (found,) = leftovers(tmp_path)
    assert (found.target, found.stream) == ("kafka://localhost:9092/scenes", "film")
    assert (found.events, found.size) == (40, sum(map(len, old)))
    spool = opened(path)
    assert lines(spool) == old
    assert (spool.state.events, spool.state.size) == (40, sum(map(len, old)))
    spool.put(b"new")
    spool.close()
    with sqlite3.connect(path) as database:
        kept = [line for (line,) in database.execute("SELECT line FROM events ORDER BY number")]
    database.close()
    assert kept == [seal("event", body=line) for line in [*old, b"new"]]
    (found,) = leftovers(tmp_path)
    assert (found.target, found.stream, found.events) == (
        "kafka://localhost:9092/scenes", "film", 41,
    )  # fmt: skip


def test_a_damaged_event_is_put_aside_with_the_reason(tmp_path: Path) -> None:
    path, said = tmp_path / "a.spool", list[str]()
    spool = opened(path, warn=said.append)
    for number in range(6):
        spool.put(b'{"id": %d}' % number)
    spool.close()
    database = sqlite3.connect(path)
    broken = bytearray(seal("event", body=b'{"id": 1}'))
    broken[-2] ^= 1
    for number, line in ((2, bytes(broken)), (4, b'{"id": 9}'), (5, b"")):
        database.execute("UPDATE events SET line = ? WHERE number = ?", (line, number))
    database.commit()
    database.close()
    spool = opened(path, warn=said.append)
    assert lines(spool) == [b'{"id": 0}', b'{"id": 2}', b'{"id": 5}']
    assert lines(spool) == [b'{"id": 0}', b'{"id": 2}', b'{"id": 5}']
    assert (spool.state.refused, spool.state.events, spool.state.size) == (3, 3, 27)
    assert [line.split(": ")[1] for line in said] == ["event 2", "event 4", "event 5"]
    assert all("it is kept in the table refused" in line for line in said)
    assert spool.wait_empty(0.0) is False
    spool.remove([event.number for event in spool.after(0, 9)])
    assert spool.wait_empty(0.0) is True
    spool.close()
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT number, line, reason FROM refused").fetchall()
    database.close()
    assert [row[:2] for row in rows] == [(2, bytes(broken)), (4, b'{"id": 9}'), (5, b"")]
    assert "its checksum does not match" in rows[0][2]


def test_no_flipped_bit_changes_or_invents_an_event() -> None:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = Path(folder) / "a.spool"
        spool = opened(path, 1 << 20)
        put = [b'{"id": "%032x"}' % number for number in range(60)]
        for line in put:
            spool.put(line)
        spool.close()
        whole = path.read_bytes()
        # Most of a file is zeros that say nothing.
        places = [at for at in range(len(whole)) if whole[at] or at % 97 == 0]
        random = Random(7)
        for at in random.sample(places, 800):
            broken = bytearray(whole)
            broken[at] ^= 1 << random.randrange(8)
            for old in path.parent.iterdir():
                old.unlink()
            path.write_bytes(broken)
            said: list[str] = []
            spool = opened(path, 1 << 20, warn=said.append)
            got = lines(spool)
            spool.close()
            assert set(got) <= set(put), at
            assert len(set(got)) == len(got), at
            # None is lost in silence.
            assert len(got) == len(put) or said, at


def test_the_file_stays_within_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.spool"
    spool = opened(path, 100_000, full="drop-oldest")
    for number in range(1000):
        spool.put(b"%4d" % number * 500)
    spool.close()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.spool", "a.spool.reserve"]
    assert path.stat().st_size < 2 * 100_000 + (1 << 16)
