"""HTTP and HTTPS, for films, playlists and segments alike."""

from __future__ import annotations

import contextlib
import logging
import queue
import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from streamer.errors import (
    SourceClosed,
    SourceError,
    SourceForbidden,
    SourceNotFound,
    SourceRefused,
    SourceStalled,
    SourceUnreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from urllib3.connectionpool import HTTPConnectionPool

    from streamer.connectors.sources.address import Address

# Its debug lines hold whole addresses, tokens included.
logging.getLogger("urllib3").setLevel(logging.INFO)

REDIRECTS: Final = 5
RETRIES: Final = 5
PAUSE_SECONDS: Final = 0.2
POLL_SECONDS: Final = 0.1
NOWHERE: Final = -1
PORTS: Final = {"http": 80, "https": 443}
_VERSIONS: Final = ("ETag", "Last-Modified")
_PART: Final = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)", re.IGNORECASE)


class EndableAdapter(HTTPAdapter):
    """Keep track of the sockets, so that closing ends every wait for one of them.

    The time limits of requests are between two bytes: a server that sends one now and then, of
    a body or of a head, could keep a thread for as long as it likes.
    """

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()
        self._ended = False
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> HTTPConnectionPool:
        """Make the pool as the library does; its connections register their sockets."""
        pool = super().get_connection_with_tls_context(*args, **options)
        plain: Any = pool.ConnectionCls
        if hasattr(plain, "registers"):
            return pool
        register = self._register

        class Registering(plain):  # type: ignore[misc]
            registers = True

            def connect(self) -> None:
                super().connect()
                register(self.sock)

        pool.ConnectionCls = Registering
        return pool

    def close(self) -> None:
        """End all connections, idle or not, for good; may be called twice."""
        self._ended = True
        for one in list(self._sockets):
            _end(one)
        super().close()

    def _register(self, made: socket.socket) -> None:
        self._sockets = {one for one in self._sockets if one.fileno() >= 0} | {made}
        if self._ended:
            _end(made)


def _end(one: socket.socket) -> None:
    # Not closed, which is for the thread that uses it; not as TLS, whose state is that thread's.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(one, socket.SHUT_RDWR)


class Client:
    """Fetches from one site and from where its playlists point, over HTTP and HTTPS only.

    The login goes to the site of the address alone; certificates are verified.

    Args:
        address: Where the login belongs.
        stopped: Asked while waiting.
        open_seconds: Seconds in which the server has to answer.
        stall_seconds: Seconds in which the next byte has to come.
        ca_file: PEM file of authorities; None takes the usual ones.
    """

    def __init__(
        self,
        address: Address,
        stopped: Callable[[], bool],
        *,
        open_seconds: float = 10.0,
        stall_seconds: float = 10.0,
        ca_file: Path | None = None,
    ) -> None:
        self._login = address.login
        self._site = site(address.plain.removeprefix("hls+").removeprefix("dash+"))
        self.name = address.shown
        self.open_seconds, self.stall_seconds = open_seconds, stall_seconds
        self._stop_requested = stopped
        self._closed = False
        self._session = requests.Session()
        adapter = EndableAdapter()
        for scheme in PORTS:
            self._session.mount(f"{scheme}://", adapter)
        self._session.max_redirects = REDIRECTS
        # A film does not become smaller; a coded body would make ranges meaningless.
        self._session.headers["Accept-Encoding"] = "identity"
        self._authorities = None if ca_file is None else str(ca_file)

    @property
    def stopped(self) -> bool:
        """Whether nobody waits for anything any more."""
        return self._closed or self._stop_requested()

    def get(
        self, url: str, first: int = 0, end: int | None = None, tag: str | None = None
    ) -> requests.Response:
        """Asks for a body and leaves it to be read.

        Args:
            url: Without a login.
            first: Offset of the first byte.
            end: Offset after the last byte.
            tag: Entity tag; a body with another one is to be sent from its start.

        Raises:
            SourceError: A subclass says why there is none.
        """
        if urlsplit(url).scheme not in PORTS:
            raise SourceForbidden(f"{self.name}: reaches for something that is not HTTP")
        if self._closed:
            raise SourceClosed(f"{self.name}: is closed")
        # Asked for even from the start: who answers 206 can be read out of order.
        ranges = {"Range": f"bytes={first}-{'' if end is None else end - 1}"}
        if tag is not None:
            ranges["If-Range"] = tag
        auth = self._login if site(url) == self._site else None
        try:
            # With each request: a session's own authorities give way to the environment's.
            answer = self._session.get(
                url,
                headers=ranges,
                auth=auth,
                stream=True,
                timeout=(self.open_seconds, self.stall_seconds),
                verify=self._authorities,
            )
        except requests.RequestException as error:
            raise SourceUnreachable(f"{self.name}: {reason(error)}") from None
        if answer.ok:
            return answer
        answer.close()
        told = f"{self.name}: HTTP {answer.status_code} {answer.reason}"
        if answer.status_code in {401, 403, 407}:
            raise SourceRefused(told)
        if answer.status_code in {404, 410}:
            raise SourceNotFound(told)
        raise SourceUnreachable(told)

    def close(self) -> None:
        """Ends every connection and every wait for one; safe from any thread."""
        self._closed = True
        self._session.close()


class Body:
    """One body, read forwards; where the server does ranges, also out of order and past faults.

    Args:
        client: Asks for it.
        url: Without a login.
        answer: The first answer, when it was asked for already.
        first: Offset of the first byte wanted.
        end: Offset after the last one.
    """

    def __init__(
        self,
        client: Client,
        url: str,
        answer: requests.Response | None = None,
        first: int = 0,
        end: int | None = None,
    ) -> None:
        self._client, self.url, self._end = client, url, end
        self._answer = answer if answer is not None else client.get(url, first, end)
        self._first = self._answer.headers
        self._part = _part(self._answer)
        self.ranges = self._part is not None
        begins = 0 if self._part is None else self._part[0]
        if begins != first:
            self._answer.close()
            raise SourceForbidden(f"{client.name}: sends other bytes than it is asked for")
        # Where the reader is, and where the answer is.
        self._position = self._answered = first
        self.size = self._total(first)
        # Who closes may not be who reads: an answer must not be closed under a read.
        self._busy = threading.Lock()
        self._closed = False

    @property
    def final_url(self) -> str:
        """Where redirections led."""
        return str(self._answer.url)

    @property
    def content_type(self) -> str:
        """As the server says, lower case, without parameters."""
        said = str(self._answer.headers.get("Content-Type", ""))
        return said.partition(";")[0].strip().lower()

    def read(self, size: int = -1, /) -> bytes:
        """Waits for bytes; there are none once nobody waits any more.

        Args:
            size: At most so many.

        Raises:
            SourceInterrupted: The connection broke and could not be taken up again.
        """
        try:
            with self._busy:
                return self._read(size)
        finally:
            self._let_go()

    def _read(self, size: int) -> bytes:
        for attempt in range(RETRIES + 1):
            if self._closed or self._client.stopped:
                return b""
            more = self.size is None or self._position < self.size
            failure: SourceError
            try:
                if self._answered != self._position:
                    if not more:
                        return b""
                    self._ask()
                data = bytes(self._answer.raw.read1(size if size > 0 else 65536))
            except SourceUnreachable as error:
                failure = error
            except (urllib3.exceptions.HTTPError, OSError) as error:
                failure = self._broken(error)
            else:
                if data or not more or self.size is None:
                    self._position += len(data)
                    self._answered = self._position
                    return data
                failure = SourceClosed(f"{self._client.name}: ended too early")
            if attempt == RETRIES or not self.seekable():
                break
            self._answered = NOWHERE
            time.sleep(PAUSE_SECONDS * 2**attempt)
        # A stop makes reads fail as well.
        if self._client.stopped:
            return b""
        raise failure from None

    def seekable(self) -> bool:
        """Whether the server does ranges and says how large the whole is."""
        return self.ranges and self.size is not None

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Goes to another byte, which is asked for when it is read.

        Args:
            offset: Bytes.
            whence: 0 from the start, 1 from here, 2 from the end.
        """
        base = (0, self._position, self.size or 0)[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """The offset of the next byte."""
        return self._position

    @property
    def reading(self) -> bool:
        """Whether a read is under way."""
        return self._busy.locked()

    def close(self) -> None:
        """Gives the connection up, from any thread; a read under way does it when it returns."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        if self._closed and self._busy.acquire(blocking=False):
            try:
                self._answer.close()
            finally:
                self._busy.release()

    def _total(self, first: int) -> int | None:
        total = None if self._part is None else self._part[1]
        if total is not None:
            return total if self._end is None else min(total, self._end)
        length = str(self._answer.headers.get("Content-Length", ""))
        return first + int(length) if length.isdigit() else None

    def _ask(self) -> None:
        """Asks for the rest from where the reader is.

        Raises:
            SourceClosed: It is not the same body any more, or not the part asked for.
            SourceError: There is no answer.
        """
        self._answer.close()
        tag = str(self._first.get("ETag", ""))
        # A weak tag does not vouch for single bytes.
        strong = tag if tag.startswith('"') else None
        answer = self._client.get(self.url, self._position, self._end, strong)
        total = None if self._part is None else self._part[1]
        said = [(self._first.get(name), answer.headers.get(name)) for name in _VERSIONS]
        if _part(answer) != (self._position, total) or any(a != b for a, b in said if a and b):
            answer.close()
            raise SourceClosed(f"{self._client.name}: is not what it was when it was first read")
        self._answer, self._answered = answer, self._position

    def _broken(self, error: Exception) -> SourceError:
        if isinstance(error, (urllib3.exceptions.ReadTimeoutError, TimeoutError)):
            return SourceStalled(f"{self._client.name}: stopped sending")
        return SourceClosed(f"{self._client.name}: broke off ({reason(error)})")


def in_time(client: Client, url: str, seconds: float) -> Body:
    """Waits for a first answer, but no longer than allowed, and not once stopped.

    Looking up a name cannot be interrupted and has no time limit, so the request is made in a
    thread that may be left behind; it then closes what it gets.

    Args:
        client: Makes the request, and knows whether to stop.
        url: Without a login.
        seconds: Most to wait.

    Raises:
        SourceUnreachable: There was no answer in time.
        SourceError: What the request raised.
    """
    answers: queue.SimpleQueue[Body | BaseException] = queue.SimpleQueue()
    abandoned = False

    def ask() -> None:
        try:
            body = Body(client, url)
        except BaseException as error:  # noqa: BLE001  (it crosses to the waiting thread)
            answers.put(error)
            return
        answers.put(body)
        if abandoned:
            body.close()

    threading.Thread(target=ask, name="ask", daemon=True).start()
    deadline = time.monotonic() + seconds
    while not client.stopped and time.monotonic() < deadline:
        try:
            answer = answers.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if isinstance(answer, BaseException):
            raise answer
        return answer
    abandoned = True
    # The answer may have come since it was last looked for.
    with contextlib.suppress(queue.Empty):
        late = answers.get_nowait()
        if isinstance(late, Body):
            late.close()
    raise SourceUnreachable(f"{client.name}: no answer within {seconds:g} s")


def _part(answer: requests.Response) -> tuple[int, int | None] | None:
    """First byte and total of a part; None for a whole body."""
    if answer.status_code != requests.codes.partial_content:
        return None
    said = _PART.fullmatch(str(answer.headers.get("Content-Range", "")).strip())
    if said is None:
        return None
    return int(said[1]), None if said[2] == "*" else int(said[2])


def site(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what a login belongs to.

    Args:
        url: Any.
    """
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)


def reason(error: BaseException) -> str:
    """Says why a request failed without repeating its address, which may hold a token.

    Args:
        error: Of requests or urllib3.
    """
    match error:
        case requests.exceptions.SSLError() | urllib3.exceptions.SSLError():
            untrusted = "CERTIFICATE_VERIFY_FAILED" in str(error)
            return "its certificate is not trusted" if untrusted else "TLS fails"
        case requests.exceptions.ConnectTimeout() | requests.exceptions.ReadTimeout():
            return "no answer in time"
        case requests.exceptions.TooManyRedirects():
            return "redirects in circles"
        case requests.exceptions.InvalidURL() | requests.exceptions.InvalidSchema():
            return "not an HTTP address"
        case requests.exceptions.ConnectionError():
            return "no connection"
    return type(error).__name__
