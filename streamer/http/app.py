"""The web application: metrics, health, and what others add to it."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from aiohttp.typedefs import Handler, Middleware

    from streamer.http.health import Checks
    from streamer.metrics.metrics import Metrics

MAX_BODY_BYTES: Final = 64 << 10
"""Of a request's body: what is taken, and what is read of one that is refused."""

MAX_COLLECTING: Final = 4
"""Answers of ``/metrics`` that are made at a time."""

_REST_SECONDS: Final = 0.5
REFUSED: Final[web.AppKey[Callable[[str], None]]] = web.AppKey("refused")
"""Counts a refused request or a closed connection by its reason."""

KEPT: Final = web.AppKey("kept", set[RequestHandler])
"""Connections that are not closed to make room for others."""


def make_app(
    metrics: Metrics,
    checks: Checks,
    routes: Iterable[web.AbstractRouteDef] = (),
    middlewares: Iterable[Middleware] = (),
) -> web.Application:
    """Build the application.

    - ``GET /metrics``: Prometheus text or OpenMetrics, as the client accepts; with ``?name[]=…``
      only those metrics, as in Prometheus's own clients. 503 while others are being made.
    - ``GET /livez``: 200 while the process answers at all.
    - ``GET /readyz``: 200 when every check passes, else 503; the body names each, and what is
      amiss with parts of it.

    Args:
        metrics: What ``/metrics`` shows.
        checks: What ``/readyz`` asks.
        routes: More routes, such as ``/streams``.
        middlewares: Around every handler, the first outermost.
    """
    app = web.Application(middlewares=[_guard, *middlewares], client_max_size=MAX_BODY_BYTES)
    app[REFUSED], app[KEPT] = metrics.refused, set()
    collecting = asyncio.Semaphore(MAX_COLLECTING)

    async def show(request: web.Request) -> web.Response:
        if collecting.locked():
            metrics.refused("busy")
            raise web.HTTPServiceUnavailable(text="busy", headers={hdrs.RETRY_AFTER: "1"})
        accept = ",".join(request.headers.getall(hdrs.ACCEPT, []))
        try:
            encode, form = choose_encoder(accept)
        except (TypeError, ValueError):
            # The library stumbles over versions that are none.
            encode, form = choose_encoder("")
        names = request.query.getall("name[]", [])
        shown: Any = metrics.registry
        if names:
            shown = metrics.registry.restricted_registry(names)
        # Thousands of series take a while, in which others want to know whether this is alive.
        async with collecting:
            body = await asyncio.to_thread(encode, shown)
        response = web.Response(body=body, headers={hdrs.CONTENT_TYPE: form})
        response.enable_compression()
        return response

    async def live(_: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def ready(_: web.Request) -> web.Response:
        health = await checks.ask()
        return web.json_response(
            {
                "status": "ready" if health.ready else "not ready",
                "checks": {
                    name: {"ok": reason is None}
                    | ({} if reason is None else {"reason": reason})
                    | ({"parts": dict(parts)} if (parts := health.parts.get(name)) else {})
                    for name, reason in health.reasons.items()
                },
            },
            status=200 if health.ready else 503,
        )

    app.router.add_get("/metrics", show)
    app.router.add_get("/livez", live)
    app.router.add_get("/readyz", ready)
    app.router.add_routes(routes)
    return app


@contextmanager
def keep(request: web.Request) -> Iterator[None]:
    """Keep a request's connection open, however many others come, while the context lasts."""
    kept, connection = request.app[KEPT], request.protocol
    kept.add(connection)
    try:
        yield
    finally:
        kept.discard(connection)


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bound what is read of refused bodies; let no answer be cached, sniffed or framed."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        await _finish(request, error)
        raise
    except (web.RequestPayloadError, ConnectionError) as error:
        if isinstance(error, web.RequestPayloadError):
            request.app[REFUSED]("malformed")
        response = web.json_response({"error": "the body is malformed"}, status=400)
        response.force_close()
    await _finish(request, response)
    return response


async def _finish(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Server", "streamer")
    # A connection that is closed on unread bytes is reset, and its client may miss the answer.
    body, left = request.content, MAX_BODY_BYTES
    with suppress(TimeoutError, web.RequestPayloadError, ConnectionError):
        async with asyncio.timeout(_REST_SECONDS):
            while left > 0 and not body.at_eof():
                left -= len(await body.readany())
    if not body.at_eof():
        response.force_close()
