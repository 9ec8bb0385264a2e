"""Streams share processes, and an evil one is soon alone."""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

from streamer.fleet.pool import ProcessConfig, ProcessPolicy, ReaderPool
from streamer.fleet.request import StreamRequest
from streamer.fleet.supervisor import StreamSupervisor

PUPPET = Path(__file__).with_name("puppet.py")
SECONDS = 60.0


class Crew:
    """Readers of a pool, and what they said."""

    def __init__(self, *names: str, max_streams_per_process: int = 4, linger: float = 0.0) -> None:
        command = (sys.executable, str(PUPPET), str(linger))
        self.pool = ReaderPool(ProcessConfig(None, {}), ProcessPolicy(command, 0.5, 0.2))
        self.said: list[str] = []
        self.readers = {
            name: StreamSupervisor(
                StreamRequest.make(name, "film.mkv"),
                max_streams_per_process,
                None,
                self.said.append,
            )
            for name in names
        }

    @property
    def pids(self) -> dict[str, str]:
        """Stream → the process that it was last begun in."""
        return dict(line.split(": pid ") for line in self.said if ": pid " in line)

    async def until(self, holds: Callable[[], bool]) -> None:
        async def work() -> None:
            while not holds():
                for reader in self.readers.values():
                    if reader.due:
                        await self.pool.begin(reader)
                await self.pool.tidy()
                await asyncio.sleep(0.01)

        await asyncio.wait_for(work(), SECONDS)


def play(act: Callable[[Crew], Awaitable[None]], crew: Crew) -> None:
    async def main() -> None:
        try:
            await act(crew)
        finally:
            await crew.pool.close()

    asyncio.run(main())


def test_streams_share_processes_as_far_as_allowed() -> None:
    async def act(crew: Crew) -> None:
        await crew.until(lambda: all(reader.reading for reader in crew.readers.values()))
        together = defaultdict(set)
        for name, pid in crew.pids.items():
            together[pid].add(name)
        assert sorted(map(len, together.values())) == [1, 2, 2]

    play(act, Crew("a", "b", "c", "d", "e", max_streams_per_process=2))


def test_a_stream_that_kills_its_process_is_soon_alone_and_then_held_back() -> None:
    async def act(crew: Crew) -> None:
        others = [reader for name, reader in crew.readers.items() if name != "killer"]
        killer = crew.readers["killer"]
        await crew.until(
            lambda: killer.max_streams_per_process == 1 and all(one.reading for one in others)
        )
        pids = crew.pids
        await crew.until(lambda: killer.held)
        assert not killer.due
        assert "held back until it is added again" in crew.said[-1]
        assert "SIGKILL, 3 times in a row" in crew.said[-1]
        assert {name: pid for name, pid in crew.pids.items() if name != "killer"} == {
            name: pid for name, pid in pids.items() if name != "killer"
        }
        assert all(one.reading for one in others)

    play(act, Crew("a", "b", "killer", "c"))


def test_an_error_of_one_stream_reaches_no_other() -> None:
    async def act(crew: Crew) -> None:
        failing, other = crew.readers["failing"], crew.readers["other"]
        await crew.until(lambda: other.reading and "cannot be opened" in "".join(crew.said))
        before = crew.pids["other"]
        await crew.until(lambda: len([s for s in crew.said if s.startswith("failing: pid")]) == 2)
        assert crew.pids == {"failing": before, "other": before}
        assert not failing.finished
        assert other.reading

    play(act, Crew("failing", "other"))


def test_ending_and_leaving() -> None:
    async def act(crew: Crew) -> None:
        await crew.until(lambda: all(reader.reading for reader in crew.readers.values()))
        await crew.pool.end(crew.readers["a"])
        await crew.pool.leave(crew.readers["b"])
        assert [line for line in crew.said if "pid" not in line] == ["a: end", "b: leave"]
        assert all(reader.finished and not reader.reading for reader in crew.readers.values())
        # Nothing is to be done a second time.
        await crew.pool.end(crew.readers["a"])

    play(act, Crew("a", "b"))


def test_a_stream_that_does_not_let_go_loses_its_process() -> None:
    async def act(crew: Crew) -> None:
        await crew.until(lambda: all(reader.reading for reader in crew.readers.values()))
        pid = crew.pids["other"]
        await crew.pool.leave(crew.readers["stuck"])
        assert crew.readers["stuck"].finished
        assert not crew.readers["other"].held
        assert not crew.readers["other"].reading
        await crew.until(lambda: crew.readers["other"].reading)
        assert crew.pids["other"] != pid

    play(act, Crew("stuck", "other"))


def test_a_process_that_does_not_end_is_killed() -> None:
    async def act(crew: Crew) -> None:
        await crew.until(lambda: crew.readers["a"].reading)
        await asyncio.wait_for(crew.pool.close(), SECONDS / 2)
        assert not crew.readers["a"].reading

    play(act, Crew("a", linger=2 * SECONDS))


def test_idle_processes_end() -> None:
    async def act(crew: Crew) -> None:
        await crew.until(lambda: crew.readers["a"].reading)
        await crew.pool.end(crew.readers["a"])
        await crew.until(lambda: not Path(f"/proc/{crew.pids['a']}").exists())

    play(act, Crew("a"))
