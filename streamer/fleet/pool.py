"""The processes that read a worker's streams, and which stream is in which."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from streamer.fleet.ingest_process import END, GRACE_SECONDS, LEAVE, READ
from streamer.fleet.supervisor import WorkerMessage

if TYPE_CHECKING:
    from streamer.fleet.supervisor import StreamSupervisor

_LINE: Final = 1 << 16
_SLACK_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class ProcessConfig:
    """What every process that reads streams is told first.

    Attributes:
        config: The settings' file.
        overrides: Settings from the command line.
    """

    config: str | None
    overrides: dict[str, object]


@dataclass(frozen=True, slots=True)
class ProcessPolicy:
    """How processes that read streams are started and ended.

    Attributes:
        command: What to start.
        grace_seconds: For a stream to leave before its process is killed.
        idle_seconds: After which a process without streams is ended.
    """

    command: tuple[str, ...] = (sys.executable, "-m", "streamer.fleet.ingest_process")
    grace_seconds: float = GRACE_SECONDS
    idle_seconds: float = 60.0


class ReaderPool:
    """Puts streams into processes that read many of them each.

    Streams of one process share its networks, and its end. After a process was killed, each of its
    streams goes on among at most half as many: whichever is to blame is soon alone, and then held
    back.

    Args:
        orders: What every process is told first.
        how: How processes are started and ended.
    """

    def __init__(self, orders: ProcessConfig, how: ProcessPolicy | None = None) -> None:
        self._orders, self._how = orders, how or ProcessPolicy()
        self._processes: list[_Process] = []

    async def begin(self, reader: StreamSupervisor) -> None:
        """Has a stream read, in a new process where no other has room for it."""
        self._processes = [process for process in self._processes if process.open]
        process = next((one for one in self._processes if one.fits(reader)), None)
        if process is None:
            process = _Process(self._orders, self._how)
            self._processes.append(process)
            await process.start()
        # Meanwhile it may have been stopped.
        if reader.due:
            await process.read(reader)

    async def end(self, reader: StreamSupervisor) -> None:
        """The stream is not wanted any more: its last shot and scene are closed."""
        await self._stop(reader, END)

    async def leave(self, reader: StreamSupervisor) -> None:
        """Somebody else goes on with it."""
        await self._stop(reader, LEAVE)

    async def tidy(self) -> None:
        """Ends processes that have had nothing to read for a while."""
        for process in self._processes:
            if process.open and process.idle > self._how.idle_seconds:
                await process.close()

    async def close(self) -> None:
        """Leaves all streams."""
        await asyncio.gather(*(process.close() for process in self._processes))

    async def _stop(self, reader: StreamSupervisor, word: str) -> None:
        reader.finished = True
        process = next((one for one in self._processes if reader in one.readers.values()), None)
        if process is not None:
            await process.stop(reader, word)


class _Process:
    """A process that reads streams."""

    def __init__(self, orders: ProcessConfig, how: ProcessPolicy) -> None:
        self._orders, self._how = orders, how
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._error = ""
        self._closing = self._killed = False
        self._busy = time.monotonic()
        self._gone: dict[str, asyncio.Event] = {}
        self.readers: dict[str, StreamSupervisor] = {}

    @property
    def open(self) -> bool:
        """Whether it takes streams."""
        return not self._closing

    @property
    def idle(self) -> float:
        """Seconds for which it has had none."""
        now = time.monotonic()
        self._busy = now if self.readers else self._busy
        return now - self._busy

    def fits(self, reader: StreamSupervisor) -> bool:
        """Whether it takes one more."""
        most = min(
            [
                reader.max_streams_per_process,
                *(one.max_streams_per_process for one in self.readers.values()),
            ]
        )
        return self.open and reader.request.stream not in self._gone and len(self.readers) < most

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._how.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE,
        )
        await self._write({"config": self._orders.config, "overrides": self._orders.overrides})
        self._listener = asyncio.create_task(self._live(self._process))

    async def read(self, reader: StreamSupervisor) -> None:
        """Begins a stream."""
        name = reader.request.stream
        self.readers[name], self._gone[name] = reader, asyncio.Event()
        reader.begin()
        await self._write({READ: reader.request.model_dump(mode="json")})

    async def stop(self, reader: StreamSupervisor, word: str) -> None:
        """Ends a stream's part here; a process that does not let go of it is killed."""
        name = reader.request.stream
        gone = self._gone[name]
        await self._write({word: name})
        try:
            await asyncio.wait_for(gone.wait(), self._how.grace_seconds + _SLACK_SECONDS)
        except TimeoutError:
            # It must not go on beside whoever has the stream next; its neighbours come back.
            self.readers.pop(name, None)
            await self._kill()

    async def close(self) -> None:
        """Ends the process; its streams are left."""
        self._closing = True
        process = self._process
        if process is None or self._listener is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            limit = self._how.grace_seconds + _SLACK_SECONDS
            await asyncio.wait_for(asyncio.shield(self._listener), limit)
        except TimeoutError:
            await self._kill()

    async def _kill(self) -> None:
        assert self._process is not None
        assert self._listener is not None
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._listener

    async def _live(self, process: asyncio.subprocess.Process) -> None:
        """Listens for as long as the process lives, then sends its streams elsewhere."""
        await asyncio.gather(self._hear(process), self._hear_errors(process))
        code = await process.wait()
        self._closing = True
        readers, self.readers = self.readers, {}
        reason = self._error or _ending(code)
        for reader in readers.values():
            if code < 0:
                reader.max_streams_per_process = max(1, len(readers) // 2)
            fatal = code < 0 and len(readers) == 1 and not self._killed
            reader.end(code or 1, reason, fatal=fatal)
        for gone in self._gone.values():
            gone.set()

    async def _write(self, line: dict[str, object]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            await self._process.stdin.drain()

    async def _hear(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await _line(process.stdout):
            try:
                message = WorkerMessage.model_validate_json(line)
            except ValidationError:
                continue
            reader = self.readers.get(message.stream)
            if reader is None:
                continue
            if message.ended is not None:
                del self.readers[message.stream]
            reader.take(message)
            if message.ended is not None:
                self._gone.pop(message.stream).set()

    async def _hear_errors(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while line := await _line(process.stderr):
            self._error = line.decode(errors="replace").strip()[:500] or self._error


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ended with {code}"
    try:
        return f"its process was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"its process was ended by signal {-code}"


async def _line(stream: asyncio.StreamReader) -> bytes:
    while True:
        try:
            return await stream.readline()
        except ValueError:
            # Longer than anything a reader says on purpose; what is left of it comes next.
            continue
