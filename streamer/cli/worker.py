"""``streamer worker``: one of the machines that share the streams."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from streamer.models.mixture import Moae


def worker(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML.")
    ] = None,
    only: Annotated[
        Literal["ingest", "segment"] | None,
        typer.Option(help="Read streams, or segment their shots; both when not given."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="G", help="Another group segments all shots anew.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option(metavar="URL", help="kafka://HOST:PORT, or kafkas://….")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve /metrics, /livez and /readyz there."),
    ] = None,
) -> int:
    """Take part in a fleet that shares streams by way of Kafka.

    Workers share the partitions of the topics; when one dies, others take over. Ends with a code
    other than 0 when it cannot go on, and is then to be started again, by systemd for example.

    Examples:

      streamer worker --config fleet.toml

      streamer worker --only segment --group new-model --broker kafka://localhost:9092
    """
    import asyncio

    from streamer.config.load import load_settings
    from streamer.errors import FleetError
    from streamer.fleet.pool import Orders
    from streamer.fleet.watchdog import Watchdog
    from streamer.fleet.worker import Worker
    from streamer.heap import keep_level
    from streamer.logs import ProcessLog

    overrides = {
        "fleet.group": group,
        "fleet.broker": broker,
        "http.listen": listen,
        "logging.debug": context.obj.debug or None,
    }
    settings = load_settings(config, overrides)
    context.obj.json_logs = settings.logging.json_logs
    keep_level()
    log = ProcessLog("worker", quiet=settings.logging.quiet, json_logs=settings.logging.json_logs)

    def model() -> Moae:
        from streamer.models.checkpoint import load
        from streamer.pipeline.engine import choose_device

        return load(settings.segment.checkpoint, choose_device(settings.runtime))

    orders = Orders(None if config is None else str(config.resolve()), overrides)
    watchdog = Watchdog(FleetError.exit_code, log.error)
    asyncio.run(Worker(settings, only, model, orders, log.warning, watchdog.allow).run())
    return 0
