"""Make films and datasets: ``streamer extract``, ``compose``, ``sample``."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streamer.cli._arguments import ConfigOption, FrameRateOption, parse_frame_rate

if TYPE_CHECKING:
    from fractions import Fraction

    from streamer.config.settings import Settings


_SIZE: Final = re.compile(r"([0-9]{1,6})[xX]([0-9]{1,6})")


class Split(StrEnum):
    """Name a side of the division between training and test."""

    train = "train"
    test = "test"


class Sound(StrEnum):
    """Name the layers of sound that are heard."""

    full = "full"
    none = "none"
    silent = "silent"
    music_only = "music_only"
    speech_only = "speech_only"


def extract(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO…", help="Films.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The dataset's folder.")],
    scenes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Annotation; default: VIDEO with .scenes.csv."),
    ] = None,
    shots: Annotated[
        Path | None, typer.Option(metavar="FILE", help="MovieNet's shot file for --scenes.")
    ] = None,
    frame_rate: FrameRateOption = None,
    config: ConfigOption = None,
    aspects: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Aspects, comma-separated, or all; default: settings."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Films at a time.")] = 1,
    force: Annotated[bool, typer.Option("--force", help="Extract again what is there.")] = False,
) -> None:
    """Turn annotated films into a dataset of shot features.

    Each film is split and embedded exactly as `streamer tail` would, and the annotated
    boundaries are laid onto the nearest cuts. Films that are already in the dataset are skipped.

    Examples:

      streamer extract films/*.mp4 --out dataset

      streamer extract film.mkv --scenes film.csv --frame-rate 24000/1001 --out dataset

      streamer extract films/*.mp4 --aspects all --out dataset

      streamer extract tt0047396.mkv --scenes label/tt0047396.txt --shots shot/tt0047396.txt
      --frame-rate 24 --out dataset
    """
    from streamer.config.load import load_settings
    from streamer.errors import DatasetError

    if scenes is not None and len(videos) > 1:
        raise typer.BadParameter("--scenes names one annotation; give one VIDEO with it")
    rate = None if frame_rate is None else parse_frame_rate(frame_rate, "--frame-rate")
    settings = _select_aspects(load_settings(config, {}), aspects)
    for video in videos:
        if not video.name:
            raise typer.BadParameter("a film has a name", param_hint="VIDEO")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{out}: cannot be written: {error.strerror}") from error
    wanted = [v for v in videos if force or not (out / f"{v.stem}.safetensors").exists()]
    tasks = [(v, scenes or v.with_suffix(".scenes.csv"), shots, rate, out) for v in wanted]
    if jobs == 1:
        for task in tasks:
            typer.echo(_extract_film(settings, *task), err=True)
        return
    from streamer.processes import spawned_pool

    with spawned_pool(jobs, _format_library_logs) as pool:
        single = settings.model_copy(
            update={"runtime": settings.runtime.model_copy(update={"threads": 1})}
        )
        for line in pool.map(_extract_film, [single] * len(tasks), *zip(*tasks, strict=True)):
            typer.echo(line, err=True)


def _format_library_logs() -> None:
    """Format the logs of libraries in a pool process as in the parent process."""
    from streamer.logs import LibraryLogs, ProcessLog

    LibraryLogs(ProcessLog("extract").warning).keep()


def _select_aspects(settings: Settings, aspects: str | None) -> Settings:
    if aspects is None:
        return settings
    named = [name.strip() for name in aspects.split(",")]
    names = settings.aspects.slots if named == ["all"] else named
    try:
        return settings.model_copy(update={"aspects": settings.aspects.only(tuple(names))})
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _extract_film(
    settings: Settings,
    video: Path,
    scenes: Path,
    shots: Path | None,
    rate: Fraction | None,
    out: Path,
) -> str:
    """Extract one film and return a line about it."""
    import time

    from streamer.connectors.sources.registry import open_source
    from streamer.models.dataset.annotations import read_boundaries
    from streamer.models.dataset.folder import write_movie
    from streamer.models.weights.store import WeightStore
    from streamer.pipeline.engine import choose_device, load_extractors, load_shot_network
    from streamer.pipeline.extract import extract_shots, to_movie

    began = time.monotonic()
    boundaries = read_boundaries(scenes, frame_rate=rate, shots=shots)
    store = WeightStore(offline=settings.runtime.offline)
    device = choose_device(settings.runtime)
    extractors = load_extractors(
        settings.aspects, store, device, mixed_precision=settings.runtime.mixed_precision
    )
    network = load_shot_network(settings.shots, store, device)
    source = open_source(str(video), settings.source)
    film = extract_shots(source, settings, extractors, lambda position, duration: None, network)
    movie, lost = to_movie(video.stem, film, boundaries, extractors)
    write_movie(out / f"{video.stem}.safetensors", movie)
    factor = movie.end[-1] / (time.monotonic() - began)
    return (
        f"{video.stem}: {movie.shots} shots, {int(movie.boundary.sum())} boundaries"
        f" ({lost} without a cut), {factor:.1f}× real time"
    )


def compose(
    media: Annotated[Path, typer.Option(help="Media folder; docs/compose.md has the layout.")],
    out: Annotated[Path, typer.Option(help="Folder that receives films and annotations.")],
    movies: Annotated[int, typer.Option(min=1, help="How many films.")] = 1,
    minutes: Annotated[float, typer.Option(help="Least length of each film.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="Decides all that is left to chance.")] = 0,
    split: Annotated[
        Split | None, typer.Option(help="Use only this side of the media; all when absent.")
    ] = None,
    size: Annotated[str, typer.Option(help="Width x height in pixels, both even.")] = "480x270",
    fps: Annotated[str, typer.Option(help="Frames a second: 25 or 24000/1001.")] = "25",
    sound: Annotated[
        Sound | None, typer.Option(help="Layers heard in all films; drawn for each when absent.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Films composed at a time.")] = 2,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Compose annotated films as MP4 files; the same seed gives the same films.

    Complete films in the folder are kept, so an interrupted run can be continued.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from streamer.models.compose.compose import Order
    from streamer.models.compose.compose import compose as run

    width, height = parse_size(size)
    order = Order(
        media=media,
        out=out,
        movies=movies,
        minutes=minutes,
        seed=seed,
        side=None if split is None else split.value,
        width=width,
        height=height,
        rate=parse_frame_rate(fps, "--fps"),
        sound=None if sound is None else sound.value,
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    still = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=still) as progress:
        task = progress.add_task("composing", total=movies)
        for name in run(order, jobs, lambda _: progress.advance(task)):
            typer.echo(out / f"{name}.mp4")


def parse_size(text: str) -> tuple[int, int]:
    """Parse ``480x270``.

    Raises:
        typer.BadParameter: It has another form.
    """
    found = _SIZE.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not WIDTHxHEIGHT", param_hint="--size")
    return int(found[1]), int(found[2])


def sample(
    out: Annotated[Path, typer.Option(help="Folder that receives sample.mp4 and its truth.")],
    size: Annotated[str, typer.Option(help="Width x height in pixels, both even.")] = "640x360",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
) -> None:
    """Compose a film of three minutes from what Debian packages ship, with its true scenes.

    A complete sample in the folder is kept.
    """
    from rich.console import Console
    from rich.progress import Progress

    from streamer.models.compose.sample import compose_sample

    width, height = parse_size(size)
    console = Console(stderr=True)
    still = quiet or not console.is_terminal
    with Progress(console=console, disable=still, transient=True) as progress:
        task = progress.add_task("composing the sample film", total=None)
        film = compose_sample(
            out, width, height, lambda frames: progress.update(task, completed=frames)
        )
    typer.echo(film)
