"""The web application: metrics, health, and what others add to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler, Middleware

    from streamer.http.health import Checks
    from streamer.metrics.metrics import Metrics

MAX_BODY_BYTES: Final = 64 << 10


def make_app(
    metrics: Metrics,
    checks: Checks,
    routes: Iterable[web.AbstractRouteDef] = (),
    middlewares: Iterable[Middleware] = (),
) -> web.Application:
    """Builds the application.

    - ``GET /metrics``: Prometheus text or OpenMetrics, as the client accepts; with ``?name[]=…``
      only those metrics, as in Prometheus's own clients.
    - ``GET /livez``: 200 while the process answers at all.
    - ``GET /readyz``: 200 when every check passes, else 503; the body names each, and what is
      amiss with parts of it.

    Args:
        metrics: What ``/metrics`` shows.
        checks: What ``/readyz`` asks.
        routes: More routes, such as ``/streams``.
        middlewares: Around every handler, the first outermost.
    """
    app = web.Application(middlewares=[_plain, *middlewares], client_max_size=MAX_BODY_BYTES)

    async def show(request: web.Request) -> web.Response:
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


@web.middleware
async def _plain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Nothing here may be cached, sniffed or framed."""
    try:
        response = await handler(request)
    except web.HTTPException as error:
        _harden(error)
        raise
    _harden(response)
    return response


def _harden(response: web.StreamResponse) -> None:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Server", "streamer")
