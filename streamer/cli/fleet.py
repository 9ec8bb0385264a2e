"""Run a fleet: ``streamer worker``, ``streamer streams``, ``streamer topics``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamer.cli._arguments import BrokerOption, ConfigOption

if TYPE_CHECKING:
    from pathlib import Path

    from streamer.config.settings import Settings
    from streamer.fleet.request import Register
    from streamer.models.mixture import Moae


streams = typer.Typer(
    name="streams",
    help="The streams that a fleet reads.",
    no_args_is_help=True,
    add_completion=False,
)
topics = typer.Typer(
    name="topics",
    help="The Kafka topics that events go to.",
    no_args_is_help=True,
    add_completion=False,
)


def worker(
    context: typer.Context,
    config: ConfigOption = None,
    only: Annotated[
        Literal["ingest", "segment"] | None,
        typer.Option(help="Read streams, or segment their shots; both when not given."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="G", help="Another group segments all shots again.")
    ] = None,
    broker: BrokerOption = None,
    listen: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve /metrics, /livez and /readyz there."),
    ] = None,
) -> int:
    """Take part in a fleet that shares streams through Kafka.

    Workers share the partitions of the topics; when one dies, others take over. Ends with a code
    other than 0 when it cannot continue; systemd, for example, then starts it again.

    Examples:

      streamer worker --config fleet.toml

      streamer worker --only segment --group new-model --broker kafka://localhost:9092
    """
    import asyncio

    from streamer.config.load import load_settings
    from streamer.errors import FleetError
    from streamer.fleet.pool import ProcessConfig
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

    orders = ProcessConfig(None if config is None else str(config.resolve()), overrides)
    watchdog = Watchdog(FleetError.exit_code, log.error)
    asyncio.run(Worker(settings, only, model, orders, log.warning, watchdog.allow).run())
    return 0


@streams.command()
def add(
    name: Annotated[str, typer.Argument(help="The stream's name in events.")],
    location: Annotated[str, typer.Argument(help="As for streamer tail; every worker sees it.")],
    config: ConfigOption = None,
    broker: BrokerOption = None,
) -> None:
    """Add a stream; one of the same name is replaced and starts a new epoch.

    A path is made absolute: workers have other working folders. One that does not exist on this
    machine is a warning.

    Example:

      streamer streams add news rtsp://camera.example/news
    """
    from streamer.connectors.sources.registry import path_of
    from streamer.fleet.request import StreamRequest
    from streamer.lines import report

    if location == "-":
        raise typer.BadParameter("no worker has this standard input", param_hint="LOCATION")
    path = path_of(location)
    path = None if path is None else path.absolute()
    _register(config, broker).put(StreamRequest.make(name, str(path or location)))
    if path is not None and not os.path.lexists(path):
        report(
            f"{path}: no such file here; every worker has to see it",
            label="warning",
            style="bold yellow",
        )


@streams.command()
def remove(
    name: Annotated[str, typer.Argument(help="The stream's name.")],
    config: ConfigOption = None,
    broker: BrokerOption = None,
) -> None:
    """Remove a stream; its last scene is closed."""
    _register(config, broker).remove(name)


@streams.command("list")
def list_(config: ConfigOption = None, broker: BrokerOption = None) -> None:
    """List the streams to read; credentials in their addresses are left out."""
    from datetime import UTC, datetime

    from rich.table import Table

    from streamer.cli._render import print_table
    from streamer.connectors.sources.address import redact

    table = Table()
    for column in ("stream", "location", "since"):
        table.add_column(column, overflow="fold")
    for request in _register(config, broker).all():
        since = datetime.fromtimestamp(request.added, UTC).isoformat(timespec="seconds")
        table.add_row(request.stream, redact(request.location), since)
    print_table(table)


def _register(config: Path | None, broker: str | None) -> Register:
    from streamer.config.load import load_settings
    from streamer.fleet.request import Register

    settings = load_settings(config, {"fleet.broker": broker})
    return Register(settings.fleet, settings.kafka)


@topics.callback()
def _topics() -> None:
    """The Kafka topics that events go to."""


@topics.command()
def create(
    urls: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[URL]...",
            help="kafka://HOST:PORT/TOPIC; those among output.sinks when none is given.",
        ),
    ] = None,
    partitions: Annotated[
        int | None, typer.Option(help="Of each topic; kafka.partitions, or fleet.partitions.")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(help="Copies; kafka.replicas, or fleet.replicas.")
    ] = None,
    fleet: Annotated[
        bool, typer.Option("--fleet", help="The fleet's topics, by its section.")
    ] = False,
    broker: Annotated[
        str | None, typer.Option(metavar="URL", help="With --fleet: kafka://HOST:PORT.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Create topics that do not exist; existing ones stay unchanged.

    Examples:

      streamer topics create kafka://localhost:9092/scenes.boundaries --partitions 4

      streamer topics create --fleet --broker kafka://localhost:9092
    """
    from streamer.config.load import load_settings
    from streamer.connectors.kafka.address import KafkaAddress
    from streamer.connectors.kafka.topic import TopicProbe

    section = "fleet" if fleet else "kafka"
    settings = load_settings(
        config,
        {
            f"{section}.partitions": partitions,
            f"{section}.replicas": replicas,
            "fleet.broker": broker,
        },
    )
    if fleet:
        if urls:
            raise typer.BadParameter(
                "goes without URL: its topics are named in [fleet]", param_hint="--fleet"
            )
        _create_fleet_topics(settings)
        return
    wanted = urls or [url for url in settings.output.sinks if url.startswith(("kafka:", "kafkas:"))]
    if not wanted:
        raise typer.BadParameter("give one, or set output.sinks", param_hint="URL")
    for address in [KafkaAddress.parse(url) for url in wanted]:
        facts = TopicProbe(address, settings.kafka, create=True).look()
        typer.echo(f"{address}: {facts.partitions} partitions")


def _create_fleet_topics(settings: Settings) -> None:
    from streamer.fleet.topics import TopicMaker

    maker = TopicMaker(settings.fleet, settings.kafka)
    for name in maker.make().names:
        typer.echo(maker.address(name))
