"""``streamer weights``: pull, list and verify the pretrained networks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from models.weights.manifest import Pinned

app = typer.Typer(
    name="weights", help="Pretrained networks of the aspect slots.", no_args_is_help=True
)

Networks = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NETWORK]...", help="Networks; those the settings use when none."),
]
All = Annotated[bool, typer.Option("--all", help="Every network there is.")]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML.")]


@app.command()
def pull(
    networks: Networks = None,
    mirror: Annotated[
        Path | None,
        typer.Option(help="Folder that holds the release files; asked before the index."),
    ] = None,
    offline: Annotated[bool, typer.Option(help="Never use the network.")] = False,
    all_: All = False,
    config: Config = None,
) -> None:
    """Fetch the pinned release files, check them and convert them into the cache.

    Nothing in a release file is run or installed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

    from models.weights.store import WeightStore

    wanted = _wanted(networks or (), config, all_=all_)
    store = WeightStore(offline=offline, mirror=mirror)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for entry in wanted:
            task = progress.add_task(entry.network, total=entry.download)

            def show(seen: int, total: int, task: TaskID = task) -> None:
                progress.update(task, completed=seen, total=total)

            store.pull(entry.network, show)
            progress.update(task, completed=entry.download)
    for entry in wanted:
        console.print(
            f"{entry.network}: {store.path(entry.network)}", highlight=False, soft_wrap=True
        )


@app.command("list")
def list_() -> None:
    """Show what fills which slot, under which licence and whether it is in the cache."""
    from rich.console import Console
    from rich.table import Table

    from models.weights.manifest import MANIFEST, PAPER_NETWORKS
    from models.weights.store import WeightStore

    store = WeightStore()
    table = Table()
    for column in ("slot", "network", "in the paper", "dim", "licence", "MB", "here"):
        table.add_column(column, no_wrap=column != "in the paper", overflow="fold")
    for entry in MANIFEST.values():
        for slot in entry.slots:
            table.add_row(
                slot,
                entry.network,
                PAPER_NETWORKS[slot],
                str(entry.dim),
                entry.licence,
                f"{entry.size / 1e6:.1f}",
                "yes" if store.present(entry.network) else "no",
            )
    Console().print(table)


@app.command()
def verify(networks: Networks = None, all_: All = False, config: Config = None) -> None:
    """Check the cached weights against their pinned sha256; stops at the first wrong one."""
    from rich.console import Console

    from models.weights.store import WeightStore

    store = WeightStore()
    console = Console(stderr=True)
    for entry in _wanted(networks or (), config, all_=all_):
        store.verify(entry.network)
        console.print(f"{entry.network}: ok", highlight=False, soft_wrap=True)


def _wanted(networks: Sequence[str], config: Path | None, *, all_: bool) -> list[Pinned]:
    """The networks named, else all, else those with weights that the settings enable."""
    from models.weights.manifest import MANIFEST, WEIGHTLESS, expand
    from streamer.config.load import load_settings

    if networks and all_:
        raise typer.BadParameter("--all goes without names of networks")
    if networks or all_:
        return expand(networks or tuple(MANIFEST))
    slots = load_settings(config).aspects.slots.values()
    used = (section.network for section in slots if section.enabled)
    # One from elsewhere ("module:ATTRIBUTE") brings its own.
    return expand([name for name in used if name not in WEIGHTLESS and ":" not in name])
