"""Which stream is blamed for the end of a process, and how long for."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from streamer.serve import guard
from streamer.serve.guard import CRASHES, CrashGuard

ENTRY = "0" * 64


class Life:
    """One life of a process: streams that begin, and an end that is none in order."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said, self.over = folder, list[tuple[str, str]](), threading.Event()
        self.guard = CrashGuard(folder, lambda name, line: self.said.append((name, line)))

    def begin(self, *names: str) -> None:
        for name in names:
            self.guard.expect(name, ENTRY)
        for name in names:
            begun = threading.Event()

            def run(name: str = name, begun: threading.Event = begun) -> None:
                self.guard.admit(name, lambda: False)
                begun.set()
                # A thread that ends leaves its identity to the next.
                self.over.wait(60)

            threading.Thread(target=run, name=f"stream-{name}", daemon=True).start()
            assert begun.wait(20)

    def crash_on(self, name: str) -> None:
        threads = self.guard._records[name].threads
        report = f"Fatal Python error: Segmentation fault\n\nThread 0x{1:016x}:\n"
        report += f"\nCurrent thread 0x{threads[-1]:016x} (most recent call first):\n  File\n"
        (self.folder / CRASHES).write_text(report)

    def held(self, *names: str) -> set[str]:
        return {name for name in names if self.guard.held(name, ENTRY)}


def test_the_only_young_one_is_held_back_after_two_deaths(tmp_path: Path) -> None:
    for deaths in range(3):
        life = Life(tmp_path)
        assert life.held("a", "b") == ({"b"} if deaths == 2 else set())
        assert life.guard.suspect("b") == (deaths > 0)
        life.begin("a")
        life.guard.runs("a", closed=True)
        if deaths < 2:
            life.begin("b")
    assert life.guard.held("b", "1" * 64) is None
    life.guard.release("b")
    assert life.held("b") == set()
    assert Life(tmp_path).held("b") == set()


def test_of_several_none_is_held_back_before_one_was_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "ALONE_SECONDS", 0.0)
    for _ in range(4):
        life = Life(tmp_path)
        assert life.held("a", "b", "c") == set()
        life.begin("a", "b", "c")


def test_the_crash_report_tells_the_stream_however_old(tmp_path: Path) -> None:
    for deaths in range(3):
        life = Life(tmp_path)
        assert life.held("a", "b") == ({"a"} if deaths == 2 else set())
        life.begin("b")
        life.guard.runs("b", closed=True)
        life.begin("a")
        life.guard.runs("a", closed=True)
        life.begin("young")
        life.guard.runs("young", closed=False)
        life.crash_on("a")
        life.over.set()
    assert not life.guard.suspect("young")


def test_an_end_in_order_blames_nobody(tmp_path: Path) -> None:
    for _ in range(3):
        life = Life(tmp_path)
        assert not life.guard.suspect("a")
        life.begin("a")
        life.guard.close()
    life = Life(tmp_path)
    life.begin("a")
    life.guard.left("a")
    assert not Life(tmp_path).guard.suspect("a")


def test_a_suspect_waits_for_the_others(tmp_path: Path) -> None:
    Life(tmp_path).begin("a")
    life = Life(tmp_path)
    life.guard.expect("b", ENTRY)
    life.guard.expect("a", ENTRY)
    stopped, begun = threading.Event(), threading.Event()

    def admit() -> None:
        if life.guard.admit("a", stopped.is_set):
            begun.set()

    thread = threading.Thread(target=admit)
    thread.start()
    assert not begun.wait(0.5)
    assert "begins when the others run" in life.said[0][1]
    life.begin("b")
    life.guard.runs("b", closed=True)
    assert begun.wait(5)
    thread.join(5)


def test_a_suspect_that_is_stopped_does_not_begin(tmp_path: Path) -> None:
    Life(tmp_path).begin("a")
    life = Life(tmp_path)
    life.guard.expect("b", ENTRY)
    life.guard.expect("a", ENTRY)
    assert not life.guard.admit("a", lambda: True)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": [1, 2, 3, 4, "x"]}', "\0"])
def test_what_is_damaged_holds_nobody_back_and_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "running.json").write_text(content)
    life = Life(tmp_path)
    assert "damaged" in life.said[0][1]
    life.begin("a")
    assert Life(tmp_path).guard.suspect("a")
