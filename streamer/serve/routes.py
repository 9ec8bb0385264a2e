"""The streams over HTTP: everybody may look, who has the token may change."""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import TYPE_CHECKING, Final

from aiohttp import web

from streamer.config.streams import parse_entry
from streamer.errors import ConfigError, StateError
from streamer.http.app import MAX_BODY_BYTES, keep
from streamer.serve.service import Busy

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from streamer.serve.service import Service

BODY_SECONDS: Final = 10.0
"""For the body of a request with the right token."""

_BEARER: Final = "Bearer "
_APART_SECONDS: Final = 0.1
_LATEST_SECONDS: Final = 2.0


class Routes:
    """``/streams`` and ``/streams/NAME``.

    Args:
        service: What is shown and changed.
        token: What a request has to bring to change anything; None refuses all changes.
        refused: Counts a refused request by its reason.
    """

    def __init__(
        self, service: Service, token: SecretStr | None, refused: Callable[[str], None]
    ) -> None:
        self._service, self._refused = service, refused
        self._token = None if token is None else token.get_secret_value().encode()
        self._next_wrong = 0.0

    def table(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.get("/streams", self.all),
            web.get("/streams/{name}", self.one),
            web.put("/streams/{name}", self.put),
            web.delete("/streams/{name}", self.delete),
        ]

    async def all(self, _: web.Request) -> web.Response:
        """Every stream."""
        hosts = self._service.hosts
        return web.json_response({"streams": [hosts[name].describe() for name in sorted(hosts)]})

    async def one(self, request: web.Request) -> web.Response:
        """One stream."""
        host = self._service.hosts.get(request.match_info["name"])
        if host is None:
            return _refuse(404, "there is no such stream")
        return web.json_response(host.describe())

    async def put(self, request: web.Request) -> web.Response:
        """Adds or changes a stream; the body is its entry without the name."""
        if (refusal := await self._refusal(request)) is not None:
            return refusal
        with keep(request):
            return await self._put(request)

    async def _put(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        try:
            async with asyncio.timeout(BODY_SECONDS):
                sent = await request.read()
        except TimeoutError:
            self._refused("body_slow")
            return _refuse(408, f"the body did not come within {BODY_SECONDS:g} s")
        except web.HTTPRequestEntityTooLarge:
            self._refused("body_size")
            return _refuse(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
        try:
            body = json.loads(sent)
            if not isinstance(body, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError):
            return _refuse(400, "the body has to be a JSON object")
        if body.setdefault("name", name) != name:
            return _refuse(400, "the name in the body is another one")
        try:
            entry = parse_entry(json.dumps(body), "stream")
            new = await asyncio.to_thread(self._service.put, entry)
        except ConfigError as error:
            return _refuse(400, str(error))
        except (Busy, StateError) as error:
            return _refuse(503, str(error))
        host = self._service.hosts.get(name)
        shown = {"name": name} if host is None else host.describe()
        return web.json_response(shown, status=201 if new else 200)

    async def delete(self, request: web.Request) -> web.Response:
        """Ends a stream for good."""
        if (refusal := await self._refusal(request)) is not None:
            return refusal
        name = request.match_info["name"]
        try:
            with keep(request):
                found = await asyncio.to_thread(self._service.delete, name)
        except (Busy, StateError) as error:
            return _refuse(503, str(error))
        return web.Response(status=204) if found else _refuse(404, "there is no such stream")

    async def _refusal(self, request: web.Request) -> web.Response | None:
        if self._token is None:
            return _refuse(403, "nothing can be changed here: serve.token is not set")
        given = request.headers.get("Authorization", "")
        sent = given.removeprefix(_BEARER).encode("utf-8", "surrogateescape")
        bears = given.startswith(_BEARER)
        # Compared in constant time, so that answers say nothing about how much was right.
        if bears and hmac.compare_digest(sent, self._token):
            return None
        self._refused("wrong_token" if bears else "no_token")
        if bears:
            await self._slow_down()
        response = _refuse(401, "the token is missing or wrong")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    async def _slow_down(self) -> None:
        """Answer wrong tokens one after the other; the right one is never behind them."""
        now = asyncio.get_running_loop().time()
        due = min(max(self._next_wrong, now) + _APART_SECONDS, now + _LATEST_SECONDS)
        self._next_wrong = due
        await asyncio.sleep(due - now)


def _refuse(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
