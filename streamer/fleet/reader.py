"""One stream's process, as its worker sees it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from streamer.fleet.child import END, GRACE_SECONDS, LEAVE

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamer.fleet.request import StreamRequest
    from streamer.metrics.metrics import Metrics

_FIRST_PAUSE: Final = 1.0
_LAST_PAUSE: Final = 60.0
_PROVEN_SECONDS: Final = 60.0
_LINE: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Orders:
    """What every reader is told besides its request.

    Attributes:
        config: The settings' file.
        overrides: Settings from the command line.
    """

    config: str | None
    overrides: dict[str, object]


class Reader:
    """Keeps one stream read: starts its process, and again when it ends too early.

    Args:
        request: Which stream.
        orders: How.
        metrics: Served somewhere, or None.
        warn: Takes one line for people.
    """

    def __init__(
        self,
        request: StreamRequest,
        orders: Orders,
        metrics: Metrics | None,
        warn: Callable[[str], None],
    ) -> None:
        self.request = request
        self._orders, self._metrics, self._warn = orders, metrics, warn
        self._process: asyncio.subprocess.Process | None = None
        self._listeners: list[asyncio.Task[None]] = []
        self._due = self._began = 0.0
        self._pause = _FIRST_PAUSE
        self._error = ""
        self._shots = 0
        self.finished = self.reading = False

    async def tend(self) -> None:
        """Starts the process when it is time to."""
        process = self._process
        if process is not None and process.returncode is not None:
            await self._ended(process.returncode)
        if self._process is None and not self.finished and time.monotonic() >= self._due:
            await self._start()

    async def end(self) -> None:
        """The stream is not wanted any more: closes its last shot and scene."""
        await self._tell(END)

    async def leave(self) -> None:
        """Somebody else goes on with it."""
        await self._tell(LEAVE)

    async def _start(self) -> None:
        self._began, self._error, self._shots = time.monotonic(), "", 0
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "streamer.fleet.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE,
        )
        order = {
            "config": self._orders.config,
            "overrides": self._orders.overrides,
            "request": self.request.model_dump(mode="json"),
        }
        await self._write(json.dumps(order))
        self._listeners = [
            asyncio.create_task(self._hear(self._process)),
            asyncio.create_task(self._hear_errors(self._process)),
        ]

    async def _ended(self, code: int) -> None:
        await asyncio.gather(*self._listeners, return_exceptions=True)
        self._process, self.reading = None, False
        self._up(False)
        if code == 0:
            self.finished = True
            return
        if time.monotonic() - self._began > _PROVEN_SECONDS:
            self._pause = _FIRST_PAUSE
        self._due = time.monotonic() + self._pause
        reason = self._error or f"its process ended with {code}"
        self._warn(f"{self.request.stream}: {reason}; again in {self._pause:g} s")
        self._pause = min(_LAST_PAUSE, 2 * self._pause)

    async def _tell(self, word: str) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        await self._write(word)
        try:
            await asyncio.wait_for(process.wait(), GRACE_SECONDS + 2)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await asyncio.gather(*self._listeners, return_exceptions=True)
        self._process, self.reading = None, False
        self._up(False)

    async def _write(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def _hear(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await self._line(process.stdout):
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict):
                self._take(said)

    async def _hear_errors(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while line := await self._line(process.stderr):
            self._error = line.decode(errors="replace").strip()[:500] or self._error

    async def _line(self, stream: asyncio.StreamReader) -> bytes:
        while True:
            try:
                return await stream.readline()
            except ValueError:
                # Longer than anything a reader says on purpose; what is left of it comes next.
                continue

    def _take(self, said: dict[str, Any]) -> None:
        name = self.request.stream
        self.reading = said.get("state") == "reading"
        self._up(self.reading)
        for warning in said.get("warnings", ()):
            self._warn(f"{name}: {warning}")
        if self._metrics is None or "shots" not in said:
            return
        metrics = self._metrics.stream(name)
        metrics.shot(max(0, said["shots"] - self._shots))
        self._shots = said["shots"]
        metrics.epoch(said["epoch"])
        metrics.lag(said["lag"])

    def _up(self, value: bool) -> None:
        if self._metrics is not None:
            self._metrics.stream(self.request.stream).up(value)
