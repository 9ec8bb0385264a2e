"""Measure speed and memory as ratios of one run: ``streamer bench``."""

from __future__ import annotations

import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamer.extractor import Extractor

bench = typer.Typer(no_args_is_help=True, help="Measure speed and memory.", add_completion=False)

Film = Annotated[
    Path,
    typer.Argument(
        metavar="FILM", help="A media file, best 720p24 with AAC.", exists=True, dir_okay=False
    ),
]
Checkpoint = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Experts and mixer; the one shipped.")
]


@bench.command("tail")
def tail_command(
    film: Film, rounds: Annotated[int, typer.Option(min=1, help="Interleaved pairs of runs.")] = 3
) -> None:
    """Compare `streamer tail` with bare decoding: real-time factor, CPU seconds, peak memory."""
    from streamer.bench.tail import measure_tail

    cost = measure_tail(film, rounds)
    _show(
        "tail",
        {
            "film": f"{cost.media_seconds:.0f} s",
            "× real time, start-up included": f"{cost.realtime_factor:.1f}",
            "CPU of tail": f"{cost.tail_cpu:.1f} s",
            "CPU of bare decoding": f"{cost.decode_cpu:.1f} s",
            "tail / bare decoding": f"{cost.cpu_ratio:.2f}",
            "boundary events": f"{cost.events}",
            "peak memory": f"{cost.peak_bytes / 2**20:.0f} MiB",
        },
    )


@bench.command()
def memory(
    film: Film,
    minutes: Annotated[list[int] | None, typer.Option(min=1, help="Lengths to compare.")] = None,
) -> None:
    """Compare peak memory after short and long inputs: the film repeated, 10 and 60 minutes."""
    from streamer.bench.tail import measure_memory

    with tempfile.TemporaryDirectory() as folder:
        peaks = measure_memory(film, Path(folder), tuple(minutes or (10, 60)))
    _show("memory", {f"{m} minutes": f"{peak / 2**20:.0f} MiB" for m, peak in peaks.items()})


@bench.command("kafka")
def kafka_command(
    broker: Annotated[str, typer.Option(metavar="URL", help="kafka://HOST:PORT.")],
    streams: Annotated[int, typer.Option(min=1, help="Streams with a window each.")] = 1000,
    backlog: Annotated[int, typer.Option(min=100, help="Shots waiting at the start.")] = 8000,
    seconds: Annotated[float, typer.Option(min=1.0, help="Of shots at half speed.")] = 20.0,
    port: Annotated[int, typer.Option(help="For the worker's metrics.")] = 9463,
) -> None:
    """Measure a segmenting worker: shots a second, delay at half load, recovery, bytes."""
    from streamer.bench.kafka import measure_fleet

    cost = measure_fleet(broker, streams, backlog, seconds, port)
    _show(
        "kafka",
        {
            "bytes a shot": f"{cost.record_bytes:.0f}",
            "shots a second": f"{cost.shots_a_second:.0f}",
            "shots a CPU second": f"{cost.shots_a_cpu_second:.0f}",
            "shots a second offered for the delay": f"{cost.offered:.0f}",
            "delay p50": f"{cost.delay(0.5) * 1000:.0f} ms",
            "delay p99": f"{cost.delay(0.99) * 1000:.0f} ms",
            "streams": f"{cost.streams}",
            "start to partitions owned": f"{cost.restart_seconds:.1f} s",
            "start to every stream decided": f"{cost.recovery_seconds:.1f} s",
            "CPU of that": f"{cost.recovery_cpu:.1f} s",
            "mean load of the machine": f"{cost.load:.0f}",
        },
    )


@bench.command()
def latency(film: Film, checkpoint: Checkpoint = None) -> None:
    """Play a film in real time and time each decision from the end of the shot it waits for."""
    from streamer.bench.live import measure_latency
    from streamer.config.load import load_settings
    from streamer.models.weights.store import WeightStore
    from streamer.pipeline.engine import load_engine

    settings = load_settings(
        None,
        {
            "source.realtime": True,
            "segment.threshold": 0.0,
            "segment.checkpoint": checkpoint,
            "runtime.device": "cpu",
        },
    )
    delays = measure_latency(film, settings, load_engine(settings, WeightStore()))
    _show(
        "latency",
        {
            "decisions": f"{delays.count}",
            "p50": f"{delays.p50:.3f} s",
            "p95": f"{delays.p95:.3f} s",
            "p99": f"{delays.p99:.3f} s",
        },
    )


@bench.command()
def experts(checkpoint: Checkpoint = None) -> None:
    """Time experts and mixer for one new shot on one core, causal, all ten."""
    from streamer.bench.networks import measure_experts
    from streamer.models.checkpoint import load

    median, p95 = measure_experts(load(checkpoint))
    _show("experts", {"p50": f"{median:.2f} ms a shot", "p95": f"{p95:.2f} ms a shot"})


@bench.command()
def aspects(
    film: Film,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where to measure.")] = "cpu",
    seconds: Annotated[int, typer.Option(min=8, help="Length of the part to measure.")] = 60,
    every: Annotated[bool, typer.Option("--all", help="The slots that are off, too.")] = False,
) -> None:
    """Measure each aspect, all of them together, and what batches and mixed precision change."""
    from streamer.bench import aspects as measure
    from streamer.config.sections import AspectsSection, RuntimeSection
    from streamer.models.weights.store import WeightStore
    from streamer.pipeline.engine import choose_device, load_extractors

    settings = AspectsSection()
    if every:
        settings = settings.only(list(settings.slots))
    chosen = choose_device(RuntimeSection(device=device))
    extractors = load_extractors(settings, WeightStore(), chosen)
    if device == "cpu":
        _show("aspects: each on one core", _slots(extractors, film, seconds))
        cost = measure.measure_film(extractors, film, seconds)
        _show(
            "aspects: together on one core",
            {
                "film": f"{cost.seconds:.0f} s, {cost.tokens} tokens",
                "CPU": f"{cost.cpu:.2f} s",
                "× real time": f"{cost.seconds / cost.cpu:.1f}",
            },
        )
    sizes = (1, 2, 4, 8, 16) if device == "cpu" else (1, 4, 16, 64, 256)
    rows = {}
    for extractor in extractors:
        curve = measure.measure_batches(extractor, sizes)
        rows[extractor.network] = "  ".join(f"{size}: {rate:.0f}" for size, rate in curve.items())
    _show("aspects: tokens a second by batch size", rows)
    if device == "cuda":
        streams = measure.measure_streams(extractors, 256)
        _show("aspects: live streams, a key frame a second", {"streams": f"{streams:.0f}"})
        close = {each.network: measure.cosine(each) for each in extractors}
        _show(
            "aspects: least cosine of mixed precision to float32",
            {name: "float32" if value is None else f"{value:.6f}" for name, value in close.items()},
        )


@bench.command()
def networks(
    rounds: Annotated[int, typer.Option(min=1, help="Passes of which the median counts.")] = 5,
) -> None:
    """Time every aspect's network, those to be added too, on one core and made-up weights."""
    import torch

    from streamer.bench.networks import measure_networks

    torch.set_num_threads(1)
    rows = {
        f"{cost.slot}: {cost.network}": (
            f"{cost.tokens:.2f}  {cost.alone:.4f} / {cost.together:.4f}  {cost.megabytes:3.0f} MB"
        )
        for cost in measure_networks(rounds)
    }
    _show("networks: tokens/s of film, CPU s per s of film alone / four at once, weights", rows)


@bench.command()
def shots(
    media: Annotated[Path, typer.Argument(metavar="MEDIA", help="Media, as for compose.")],
    minutes: Annotated[float, typer.Option(min=0.5, help="Length of the film.")] = 4.0,
    seed: Annotated[int, typer.Option(min=0, help="Decides what is composed.")] = 0,
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Of the network.")] = "cpu",
) -> None:
    """Compare the shot detectors on composed pictures: cuts, dissolves, fades and wipes."""
    from streamer.bench.shots import measure_shots
    from streamer.config.sections import RuntimeSection, ShotsSection
    from streamer.models.weights.store import WeightStore
    from streamer.pipeline.engine import choose_device, load_shot_network

    settings = ShotsSection(detector="transnetv2")
    chosen = choose_device(RuntimeSection(device=device, threads=1))
    network = load_shot_network(settings, WeightStore(), chosen)
    for name, found in measure_shots(media, minutes, seed, network).items():
        rows = {
            kind: f"{hits} of {count}, {exact} to the picture"
            for kind, (hits, exact, count) in found.kinds.items()
        }
        more = {
            "found where there is none": f"{found.false} in {found.pictures} pictures",
            "CPU": f"{1000 * found.cpu / found.pictures:.2f} ms a picture",
            "decided after": f"{found.latency} pictures at most",
        }
        _show(f"shots: {name}", rows | more)


def _slots(extractors: Sequence[Extractor], film: Path, seconds: int) -> dict[str, str]:
    from streamer.bench.aspects import measure_slot

    rows = {}
    for extractor in extractors:
        cost = measure_slot(extractor, film, seconds)
        rows[f"{cost.aspect} ({cost.network})"] = (
            f"{cost.rate / cost.streamed:.0f} tokens/s, {1 / cost.streamed:.0f} × real time; "
            f"plain {1 / cost.plain:.0f} ×; streamed / plain {cost.streamed / cost.plain:.2f}"
        )
    return rows


@bench.command()
def training(
    movies: Annotated[int, typer.Option(min=5, help="How many.")] = 10,
    shots: Annotated[int, typer.Option(min=100, help="Of all movies together.")] = 14000,
    jobs: Annotated[int, typer.Option(min=1, help="Experts trained at a time.")] = 2,
) -> None:
    """Train all rows on made-up features for an epoch or two: how long the whole would take."""
    from streamer.bench.training import ASPECTS, FOLDS, measure_training
    from streamer.models.training.settings import TrainingSettings

    settings = TrainingSettings(inner_folds=3)
    with tempfile.TemporaryDirectory() as folder:
        stages = measure_training(Path(folder), movies, shots, jobs, settings)
    rows = {
        f"{stage.name}{f', {stage.epochs} epochs' if stage.epochs else ''}": (
            f"{stage.cpu / 60:.1f} min of CPU"
        )
        for stage in stages
    }
    total, cpu = sum(each.seconds for each in stages), sum(each.cpu for each in stages)
    most = max(stages, key=lambda stage: stage.seconds)
    _show(
        "training",
        {
            "data": f"{movies} movies, {shots} shots, {len(ASPECTS)} aspects",
            "folds": f"{FOLDS}, one of them measured at 1 and 2 epochs",
            "experts at a time": f"{jobs}",
            **rows,
            "all of Tables II and III": f"{cpu / 60:.0f} min of CPU",
            f"on {jobs} free cores": f"{total / 60:.0f} min",
            "dominated by": most.name,
        },
    )


@bench.command()
def live(
    film: Annotated[
        Path,
        typer.Argument(
            metavar="FILM", help="A media file, best 576p25.", exists=True, dir_okay=False
        ),
    ],
    streams: Annotated[
        list[int] | None, typer.Option(min=1, help="How many at once; may be repeated; 4.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="For each number of streams.")] = 5.0,
    outage: Annotated[float, typer.Option(min=0.0, help="Seconds without a server.")] = 5.0,
    rounds: Annotated[int, typer.Option(min=0, help="Outages to measure; 0 for none.")] = 5,
    checkpoint: Checkpoint = None,
) -> None:
    """Play a film in real time on many streams: lag, CPU, delay of events, time to reconnect."""
    from streamer.bench.live import measure_outage, measure_streams, most_streams
    from streamer.bench.media import as_broadcast, lengthen
    from streamer.config.load import load_settings
    from streamer.heap import keep_level
    from streamer.models.weights.store import WeightStore
    from streamer.pipeline.engine import load_engine

    # As `streamer serve` runs.
    keep_level()
    overrides = {"segment.threshold": 0.0, "segment.checkpoint": checkpoint}
    paced = load_settings(None, overrides | {"source.realtime": True, "runtime.device": "cpu"})
    engine = load_engine(paced, WeightStore())
    rows: dict[str, str] = {}
    costs = []
    with tempfile.TemporaryDirectory() as folder:
        longer = lengthen(film, Path(folder) / "longer.mkv", minutes * 60 + 30)
        for count in streams or [4]:
            cost = measure_streams(longer, paced, engine, count, minutes * 60)
            costs.append(cost)
            p50, p95, p99 = cost.delays
            rows[f"{count} streams for {cost.seconds:.0f} s"] = (
                f"lag p99 {cost.lag_p99:.2f} s, most {cost.lag_most:.2f} s; "
                f"{cost.cpu:.2f} CPU a stream; {cost.events} events after "
                f"p50 {p50:.2f}, p95 {p95:.2f}, p99 {p99:.2f} s"
            )
        rows["most streams under 1 s of lag"] = f"{most_streams(costs)}"
        if rounds:
            fed = as_broadcast(film, Path(folder) / "feed.ts")
            usual, most = measure_outage(
                fed, load_settings(None, overrides), engine, outage, rounds
            )
            rows[f"back after {outage:g} s without a server"] = (
                f"median {usual:.2f} s, most {most:.2f} s of {rounds}"
            )
    _show("live", rows)


@bench.command()
def thinning(
    film: Film,
    streams: Annotated[
        list[int] | None, typer.Option(min=1, help="How many at once; may be repeated; 8.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.5, help="For each number of streams.")] = 3.0,
    checkpoint: Checkpoint = None,
) -> None:
    """Feed more live streams than the machine carries: lag, levels, boundaries that are left."""
    from streamer.bench.media import as_broadcast, lengthen
    from streamer.bench.thinning import EASING_SECONDS, full_quality, measure_thinning
    from streamer.config.load import load_settings
    from streamer.heap import keep_level
    from streamer.models.weights.store import WeightStore
    from streamer.pipeline.engine import load_engine

    # As `streamer serve` runs.
    keep_level()
    settings = load_settings(None, {"segment.checkpoint": checkpoint, "runtime.device": "cpu"})
    engine = load_engine(settings, WeightStore())
    rows: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        seconds = minutes * 60 + EASING_SECONDS + 30
        longer = lengthen(film, Path(folder) / "longer.mkv", seconds)
        feed = as_broadcast(longer, Path(folder) / "feed.ts")
        whole = full_quality(feed, settings, engine)
        for count in streams or [8]:
            cost = measure_thinning(feed, settings, engine, count, minutes * 60, whole)
            eased = "not yet" if cost.eased is None else f"{cost.eased:.0f} s"
            rows[f"{count} feeds for {minutes:g} minutes"] = (
                f"lag p50 {cost.lag_p50:.2f}, p99 {cost.lag_p99:.2f}, most {cost.lag_most:.2f} s; "
                f"level mean {cost.level:.1f}, most {cost.level_most}; "
                f"{cost.kept} of {cost.wanted} boundaries kept, {cost.more} more; "
                f"full quality again after {eased}"
            )
    _show("thinning", rows)


def _show(title: str, rows: Mapping[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"streamer bench {title}", show_header=False, title_justify="left")
    table.add_column(style="dim")
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, value)
    console = Console()
    console.print(table)
    console.print(_describe_machine(), style="dim", soft_wrap=True)


def _describe_machine() -> str:
    """Return date, processor, cores, system and versions in one line."""
    from importlib.metadata import version

    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {processor}, {cores} cores, {platform.system()}, "
        f"Python {platform.python_version()}, torch {version('torch')}, av {version('av')}"
    )
