"""``streamer extract``: films and their annotations as a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamer.cli.given import frame_rate as given_rate

if TYPE_CHECKING:
    from fractions import Fraction

    from streamer.config.settings import Settings


def extract(
    videos: Annotated[list[Path], typer.Argument(metavar="VIDEO…", help="Films.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The dataset's folder.")],
    scenes: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Annotation; default: VIDEO with .scenes.csv."),
    ] = None,
    shots: Annotated[
        Path | None, typer.Option(metavar="FILE", help="MovieNet's shot file beside --scenes.")
    ] = None,
    frame_rate: Annotated[
        str | None, typer.Option(metavar="N[/D]", help="For frame numbers and timecodes.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings as TOML.")
    ] = None,
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
    rate = None if frame_rate is None else given_rate(frame_rate, "--frame-rate")
    settings = _choose(load_settings(config, {}), aspects)
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
            typer.echo(_one(settings, *task), err=True)
        return
    from streamer.processes import spawned_pool

    with spawned_pool(jobs, _shape_library_logs) as pool:
        single = settings.model_copy(
            update={"runtime": settings.runtime.model_copy(update={"threads": 1})}
        )
        for line in pool.map(_one, [single] * len(tasks), *zip(*tasks, strict=True)):
            typer.echo(line, err=True)


def _shape_library_logs() -> None:
    """Give what libraries log in a process of the pool the form that it has in this one."""
    from streamer.logs import LibraryLogs, ProcessLog

    LibraryLogs(ProcessLog("extract").warning).keep()


def _choose(settings: Settings, aspects: str | None) -> Settings:
    if aspects is None:
        return settings
    named = [name.strip() for name in aspects.split(",")]
    names = settings.aspects.slots if named == ["all"] else named
    try:
        return settings.model_copy(update={"aspects": settings.aspects.only(tuple(names))})
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _one(
    settings: Settings,
    video: Path,
    scenes: Path,
    shots: Path | None,
    rate: Fraction | None,
    out: Path,
) -> str:
    """Extracts one film and says so in one line."""
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
