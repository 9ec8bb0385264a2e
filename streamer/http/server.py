"""Serves an application on a thread and loop of its own."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from streamer.config.listen import Listen
from streamer.errors import HttpError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 10.0
_DRAIN_SECONDS: Final = 2.0
_KEEPALIVE_SECONDS: Final = 30.0
_ACCEPT_TURNS: Final = 5
_BACKLOG: Final = 100
_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_QUIET_SECONDS: Final = 60.0
MAX_CONNECTIONS: Final = 256
"""At a time; others are closed at once, so that clients do not take the streams' descriptors."""


class HttpServer:
    """Answers while the rest of the process computes; works beside threads and other loops.

    Args:
        make: Builds the application, on the server's thread.
        listen: Where.
    """

    def __init__(self, make: Callable[[], web.Application], listen: Listen) -> None:
        self._make, self._listen = make, listen
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._started = threading.Event()
        self._bound: Listen | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> Listen:
        """Returns once it listens.

        Returns:
            Where, with the port that the system chose.

        Raises:
            HttpError: It cannot listen there.
        """
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            raise HttpError(f"{self._listen}: not listening after {START_SECONDS:g} s")
        if self._error is not None:
            self._thread.join(STOP_SECONDS)
            if isinstance(self._error, OSError):
                reason = self._error.strerror or type(self._error).__name__
                raise HttpError(f"cannot listen on {self._listen}: {reason}") from self._error
            raise self._error
        assert self._bound is not None
        return self._bound

    def stop(self) -> None:
        """Ends it, open requests after two seconds; may be called twice and from any thread."""
        loop, ended = self._loop, self._ended
        if loop is not None and ended is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(ended.set)
            except RuntimeError:
                return  # closed since
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  (it crosses to the starter's thread)
            self._error = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        self._loop, self._ended = loop, asyncio.Event()
        runner = web.AppRunner(
            self._make(),
            handle_signals=False,
            access_log=None,
            shutdown_timeout=_DRAIN_SECONDS,
            keepalive_timeout=_KEEPALIVE_SECONDS,
        )
        await runner.setup()
        loop.set_exception_handler(_Seldom())
        try:
            server = runner.server
            assert server is not None

            def protocol() -> asyncio.BaseProtocol:
                return _Refusal() if len(server.connections) >= MAX_CONNECTIONS else server()

            # With a longer one asyncio, out of descriptors, tries and complains so many times at
            # once, and later again for each of them.
            listener = await loop.create_server(
                protocol, self._listen.host, self._listen.port, backlog=1
            )
            try:
                for each in listener.sockets:
                    _lengthen(each)
                host, port = listener.sockets[0].getsockname()[:2]
                self._bound = Listen(str(host), int(port))
                self._started.set()
                await self._ended.wait()
                # A listener that closes while it accepts leaves the connection open for ever:
                # first it accepts no more, and what it accepted becomes known to the runner.
                for each in listener.sockets:
                    loop.remove_reader(each.fileno())
                for _ in range(_ACCEPT_TURNS):
                    await asyncio.sleep(0)
            finally:
                listener.close()
        finally:
            await runner.cleanup()


class _Refusal(asyncio.Protocol):
    """Closes a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class _Seldom:
    """Passes on what the loop complains about; the want of descriptors once a minute."""

    def __init__(self) -> None:
        self._said = -_QUIET_SECONDS

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _SCARCE:
            now = time.monotonic()
            if now - self._said < _QUIET_SECONDS:
                return
            self._said = now
        loop.default_exception_handler(context)


def _lengthen(listening: socket.socket) -> None:
    """Lets the system hold more connections than are accepted in one go."""
    with socket.fromfd(listening.fileno(), listening.family, listening.type) as same:
        same.listen(_BACKLOG)
