"""The server of metrics, health and streams, on a thread and loop of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, Self

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from streamer.config.listen import Listen
from streamer.errors import HttpError
from streamer.http.app import KEPT, REFUSED
from streamer.lines import place

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from aiohttp.web_protocol import RequestHandler

START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 15.0
"""From a connection's start, or the end of its last request, until the headers of the next."""

MAX_CONNECTIONS: Final = 256
"""At a time: one more closes the oldest, so that clients do not take the streams' descriptors."""

_DRAIN_SECONDS: Final = 2.0
_ACCEPT_TURNS: Final = 5
_BACKLOG: Final = 100
_MAX_HEADERS: Final = 64
_LOG: Final = logging.getLogger("streamer.http")


class HttpServer:
    """Answer while the rest of the process computes; works beside threads and other loops.

    Args:
        make: Builds the application, on the server's thread.
        listen: Where.
    """

    def __init__(self, make: Callable[[], web.Application], listen: Listen) -> None:
        self._make, self._listen = make, listen
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = asyncio.Event()
        self._at: Future[Listen] = Future()
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

    @property
    def at(self) -> Listen:
        """Where it listens, with the port that the system chose; once it was started."""
        return self._at.result(0)

    def start(self) -> Listen:
        """Return once it listens.

        Returns:
            Where, with the port that the system chose.

        Raises:
            HttpError: It cannot listen there.
        """
        self._thread.start()
        try:
            return self._at.result(START_SECONDS)
        except TimeoutError:
            raise HttpError(f"{self._listen}: not listening after {START_SECONDS:g} s") from None
        except OSError as error:
            self._thread.join(STOP_SECONDS)
            reason = error.strerror or type(error).__name__
            raise HttpError(f"cannot listen on {self._listen}: {reason}") from error

    def stop(self) -> None:
        """End it, open requests after two seconds; may be called twice and from any thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(self._ended.set)
            except RuntimeError:
                return  # closed since
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            # It crosses to the thread of who starts it.
            if self._at.done():
                raise
            self._at.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = self._make()
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=_logger(app[REFUSED]),
            shutdown_timeout=_DRAIN_SECONDS,
            keepalive_timeout=IDLE_SECONDS,
            # What is left of a body is read within bounds by the application.
            lingering_time=0,
            max_headers=_MAX_HEADERS,
        )
        await runner.setup()
        server = runner.server
        assert server is not None

        def accept() -> RequestHandler:
            _make_room(server.connections, app[KEPT], app[REFUSED])
            return server()

        try:
            # With a longer one asyncio, out of descriptors, tries and complains so many times at
            # once, and later again for each of them.
            listener = await self._loop.create_server(
                accept, self._listen.host, self._listen.port, backlog=1
            )
            try:
                for each in listener.sockets:
                    _lengthen(each)
                host, port = listener.sockets[0].getsockname()[:2]
                self._at.set_result(Listen(str(host), int(port)))
                await self._ended.wait()
                # A listener that closes while it accepts leaves the connection open for ever:
                # first it accepts no more, and what it accepted becomes known to the runner.
                for each in listener.sockets:
                    self._loop.remove_reader(each.fileno())
                for _ in range(_ACCEPT_TURNS):
                    await asyncio.sleep(0)
            finally:
                listener.close()
        finally:
            await runner.cleanup()


def _make_room(
    connections: list[RequestHandler],
    kept: set[RequestHandler],
    refused: Callable[[str], None],
) -> None:
    """Close the oldest connection when there are too many; a new one may ask for the health."""
    crowd = [each for each in connections if each.connected]
    if len(crowd) < MAX_CONNECTIONS:
        return
    oldest = next((each for each in crowd if each not in kept), crowd[0])
    transport = oldest.transport
    oldest.force_close()
    if transport is not None:
        # What a client does not read would keep a connection open that is only closed.
        transport.abort()
    refused("crowded")


def _logger(refused: Callable[[str], None]) -> logging.Logger:
    """Make aiohttp's logger: it counts malformed requests and repeats nothing of any request."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            # Bytes that are no text fail where aiohttp repeats them.
            if isinstance(error, (HttpProcessingError, UnicodeError)):
                refused("malformed")
                _LOG.warning("malformed HTTP request refused: %s", type(error).__name__)
            elif error is not None and not isinstance(error, ConnectionError):
                _LOG.error("request failed: %s at %s", type(error).__name__, place(error))

    logger = logging.Logger("http")
    logger.addHandler(Handler())
    return logger


def _lengthen(listening: socket.socket) -> None:
    """Let the system hold more connections than are accepted in one go."""
    with socket.fromfd(listening.fileno(), listening.family, listening.type) as same:
        same.listen(_BACKLOG)
