"""``streamer topics``: the topics that events go to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamer.config.settings import Settings

app = typer.Typer(
    name="topics",
    help="The Kafka topics that events go to.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def topics() -> None:
    """The Kafka topics that events go to."""


@app.command()
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
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML.")
    ] = None,
) -> None:
    """Create topics that are not there; those that are stay as they are.

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
        _fleet(settings)
        return
    wanted = urls or [url for url in settings.output.sinks if url.startswith(("kafka:", "kafkas:"))]
    if not wanted:
        raise typer.BadParameter("give one, or set output.sinks", param_hint="URL")
    for address in [KafkaAddress.parse(url) for url in wanted]:
        facts = TopicProbe(address, settings.kafka, create=True).look()
        typer.echo(f"{address}: {facts.partitions} partitions")


def _fleet(settings: Settings) -> None:
    from streamer.fleet.topics import TopicMaker

    maker = TopicMaker(settings.fleet, settings.kafka)
    for name in maker.make().names:
        typer.echo(maker.address(name))
