"""The streams over HTTP: everybody may look, who has the token may change."""

from __future__ import annotations

import asyncio
import hmac
import json
from typing import TYPE_CHECKING, Final

from aiohttp import web

from streamer.config.streams import parse_entry
from streamer.errors import ConfigError, StateError
from streamer.serve.service import Busy

if TYPE_CHECKING:
    from pydantic import SecretStr

    from streamer.serve.service import Service

_BEARER: Final = "Bearer "


class Routes:
    """``/streams`` and ``/streams/NAME``.

    Args:
        service: What is shown and changed.
        token: What a request has to bring to change anything; None refuses all changes.
    """

    def __init__(self, service: Service, token: SecretStr | None) -> None:
        self._service = service
        self._token = None if token is None else token.get_secret_value().encode()

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
        if (refusal := self._refusal(request)) is not None:
            return refusal
        name = request.match_info["name"]
        try:
            body = json.loads(await request.read())
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
        if (refusal := self._refusal(request)) is not None:
            return refusal
        try:
            found = await asyncio.to_thread(self._service.delete, request.match_info["name"])
        except (Busy, StateError) as error:
            return _refuse(503, str(error))
        return web.Response(status=204) if found else _refuse(404, "there is no such stream")

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self._token is None:
            return _refuse(403, "nothing can be changed here: serve.token is not set")
        given = request.headers.get("Authorization", "")
        sent = given.removeprefix(_BEARER).encode("utf-8", "surrogateescape")
        # Compared in constant time, so that answers say nothing about how much was right.
        if not given.startswith(_BEARER) or not hmac.compare_digest(sent, self._token):
            response = _refuse(401, "the token is missing or wrong")
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return None


def _refuse(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)
