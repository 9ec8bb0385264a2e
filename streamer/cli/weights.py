"""Manage the pretrained networks: ``streamer weights``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli._arguments import ConfigOption

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamer.models.weights.manifest import Pinned
    from streamer.models.weights.store import WeightStore

weights = typer.Typer(
    name="weights",
    help="Pretrained networks of the aspect slots.",
    no_args_is_help=True,
    add_completion=False,
)

Networks = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NETWORK]...", help="Networks; those the settings use when none."),
]
All = Annotated[bool, typer.Option("--all", help="Every network there is.")]


@weights.command()
def pull(
    networks: Networks = None,
    mirror: Annotated[
        Path | None,
        typer.Option(help="Folder that holds the release files; asked before the index."),
    ] = None,
    offline: Annotated[bool, typer.Option(help="Never use the network.")] = False,
    all_: All = False,
    config: ConfigOption = None,
) -> None:
    """Fetch the pinned release files, check them and convert them into the cache.

    Nothing in a release file is run or installed.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

    from streamer.models.weights.store import WeightStore

    wanted = _wanted(networks or (), config, all_=all_)
    store = WeightStore(offline=offline, mirror=mirror)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        for entry in wanted:
            size = entry.download
            task = progress.add_task(entry.network, total=size)

            def show(seen: int, total: int, task: TaskID = task) -> None:
                progress.update(task, completed=seen, total=total)

            store.pull(entry.network, show)
            progress.update(task, completed=size)
    for entry in wanted:
        console.print(
            f"{entry.network}: {store.path(entry.network)}", highlight=False, soft_wrap=True
        )


@weights.command()
def add(
    slot: Annotated[str, typer.Argument(help="Aspect it is to fill: place, cast, stft, …")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="As it was published.")],
    sha256: Annotated[
        list[str], typer.Option(metavar="HEX", help="Its checksum; once for each file, in order.")
    ],
    network: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which network, if the slot has several.")
    ] = None,
) -> None:
    """Add weights that cannot be pulled, such as the paper's own networks.

    Checks the checksum, then the name and shape of every tensor, and converts them into the cache.
    Nothing in the file is run.
    """
    from rich.console import Console

    from streamer.models.weights.manifest import candidate
    from streamer.models.weights.store import WeightStore

    entry = candidate(slot, network)
    path = WeightStore().add(entry.network, files, sha256)
    Console(stderr=True).print(
        f"{entry.network}: {path}\nuse it with aspects.{slot}.network = {entry.network}",
        highlight=False,
        soft_wrap=True,
        markup=False,
    )


@weights.command("list")
def list_(
    long: Annotated[
        bool, typer.Option("--long", help="Also the training data, the licence's source, notes.")
    ] = False,
) -> None:
    """Show what can fill which slot, under which licence and whether it is in the cache."""
    from rich.table import Table

    from streamer.cli._render import print_table
    from streamer.models.weights.manifest import (
        DETECTORS,
        MANIFEST,
        PAPER_NETWORKS,
        PUBLISHED,
        SHOTS,
        WEIGHTLESS,
    )
    from streamer.models.weights.store import WeightStore

    store = WeightStore()
    table = Table()
    whole = ("dim", "MB", "here")
    details = ("trained on", "licence stated in", "note") if long else ()
    for column in ("slot", "network", "in the paper", "dim", "licence", "MB", "here", *details):
        table.add_column(column, no_wrap=column in whole, overflow="fold")

    def row(slot: str, entry: Pinned, paper: str) -> None:
        size, here = _size_and_presence(store, entry)
        cells = (slot, entry.network, paper, str(entry.dim), entry.licence, size, here)
        stated = entry.licence_note or entry.source or "-"
        more = (entry.trained_on or "-", stated, entry.note) if long else ()
        table.add_row(*cells, *more)

    entries = (*MANIFEST.values(), *PUBLISHED.values(), *WEIGHTLESS.values())
    for slot, paper in PAPER_NETWORKS.items():
        for entry in entries:
            if slot in entry.slots:
                row(slot, entry, paper)
    for detector in DETECTORS.values():
        row(SHOTS, detector, "-")
    print_table(table)


def _size_and_presence(store: WeightStore, entry: Pinned) -> tuple[str, str]:
    """Return the size in MB ("-" when unknown), and "yes", "no" or "add" (by hand)."""
    if not entry.releases and not entry.files:
        return "0.0", "yes"
    present = store.present(entry.network)
    size = entry.size or (store.path(entry.network).stat().st_size if present else 0)
    here = "yes" if present else "add" if entry.files else "no"
    return f"{size / 1e6:.1f}" if size else "-", here


@weights.command()
def verify(networks: Networks = None, all_: All = False, config: ConfigOption = None) -> None:
    """Check the cached weights against their pinned sha256; stops at the first wrong one."""
    from rich.console import Console

    from streamer.models.weights.store import WeightStore

    store = WeightStore()
    console = Console(stderr=True)
    for entry in _wanted(networks or (), config, all_=all_):
        store.verify(entry.network)
        console.print(f"{entry.network}: ok", highlight=False, soft_wrap=True)


def _wanted(networks: Sequence[str], config: Path | None, *, all_: bool) -> list[Pinned]:
    """Return the named networks; with ``all_`` all that can be pulled, else the enabled ones."""
    from streamer.config.load import load_settings
    from streamer.models.weights.manifest import DETECTORS, MANIFEST, PUBLISHED, WEIGHTLESS, pinned

    if networks and all_:
        raise typer.BadParameter("--all goes without names of networks")
    if not networks and not all_:
        settings = load_settings(config)
        used = [s.network for s in settings.aspects.slots.values() if s.enabled]
        if settings.shots.detector in DETECTORS:
            used.append(settings.shots.detector)
        # A network of another package ("module:ATTRIBUTE") has its own weights.
        networks = [name for name in used if name not in WEIGHTLESS and ":" not in name]
    names = dict.fromkeys(networks or (*MANIFEST, *DETECTORS))
    return [PUBLISHED[name] if name in PUBLISHED else pinned(name) for name in names]
