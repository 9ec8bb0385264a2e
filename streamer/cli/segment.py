"""Segment one input: ``streamer tail``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamer.cli._arguments import ConfigOption, check_source

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from streamer.cli._monitor import Monitor, RunReport
    from streamer.cli._signals import Interruption
    from streamer.cli.app import Shell
    from streamer.config.settings import Settings
    from streamer.connectors.sinks.sink import Sink
    from streamer.connectors.sources.source import Source


def tail(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A file, an address, or - for standard input.",
            callback=check_source,
        ),
    ],
    config: ConfigOption = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the stream in events; from the file.")
    ] = None,
    follow: Annotated[
        bool | None,
        typer.Option("--follow", "-f", help="Wait for a growing file, like tail -f."),
    ] = None,
    idle_timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="With --follow: end after so long without growth."),
    ] = None,
    realtime: Annotated[
        bool | None, typer.Option("--realtime", help="Play a file at the speed of life.")
    ] = None,
    live: Annotated[
        bool | None,
        typer.Option("--live", help="A pipe is live: leave aspects out while it is behind."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"] | None, typer.Option(help="Where the networks run.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Score that makes a boundary, 0 to 1; the checkpoint's.")
    ] = None,
    lookahead: Annotated[
        int | None, typer.Option(metavar="K", help="Extra shots to wait for; the checkpoint's.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Experts and mixer; the one shipped.")
    ] = None,
    emit: Annotated[
        str | None, typer.Option(metavar="KINDS", help="Of boundaries,shots,scenes; boundaries.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write events here, not to stdout.")
    ] = None,
    sink: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Send events there too: kafka://…; may be repeated."),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Serve /metrics, /livez and /readyz there."),
    ] = None,
    quiet: Annotated[
        bool | None, typer.Option("--quiet", "-q", help="No progress and no summary.")
    ] = None,
    json_logs: Annotated[
        bool | None, typer.Option("--json-logs", help="Progress and summary as JSON lines.")
    ] = None,
) -> int:
    """Print scene boundaries of a film while it plays.

    One JSON object a line on standard output, one for each scene boundary, as soon as it is
    decided; progress and a summary on standard error. SIGINT and SIGTERM end the running shot,
    flush and print the summary; the exit code is then 130, or 0 with --follow and for live feeds.
    A live feed that goes away is connected again, with growing pauses.

    Examples:

      streamer tail film.mkv

      streamer tail film.mkv --emit boundaries,shots --output events.jsonl

      streamer tail recording.ts --follow --idle-timeout 30

      streamer tail rtsp://camera.example/live

      streamer tail film.mkv --sink kafka://localhost:9092/scenes.boundaries

      ffmpeg -i film.mkv -c copy -f mpegts - | streamer tail -
    """
    from streamer.config.load import load_settings
    from streamer.heap import keep_level

    shell: Shell = context.obj
    overrides = {
        "stream.name": name,
        "source.follow": follow,
        "source.idle_timeout": idle_timeout,
        "source.realtime": realtime,
        "source.live": live,
        "runtime.device": device,
        "segment.threshold": threshold,
        "segment.lookahead": lookahead,
        "segment.checkpoint": checkpoint,
        "output.emit": emit,
        "output.file": output,
        "output.sinks": sink or None,
        "http.listen": http,
        "logging.quiet": quiet,
        "logging.json_logs": json_logs,
        "logging.debug": shell.debug or None,
    }
    settings = load_settings(config, overrides)
    shell.json_logs = settings.logging.json_logs
    keep_level()
    return _run(source, settings)


def _run(location: str, settings: Settings) -> int:
    from streamer.cli._output import INTERRUPTED
    from streamer.cli._signals import Interruption

    interruption, endless = Interruption(), False
    try:
        with interruption.handled():
            endless = _open(location, settings, interruption)
    except KeyboardInterrupt:
        # Either nothing was running yet, or this is the second signal.
        if not interruption.received:
            raise
    # A signal is the usual end of live and followed inputs.
    expected = endless or settings.source.follow
    return INTERRUPTED if interruption.received and not expected else 0


def _open(location: str, settings: Settings, interruption: Interruption) -> bool:
    from queue import SimpleQueue

    from streamer.cli._progress import ReporterSink, make_reporter
    from streamer.connectors.sources.registry import open_source
    from streamer.events.names import default_stream_name

    stream = settings.stream.name or default_stream_name(location)
    with ExitStack() as stack:
        reporter = make_reporter(stream, settings.logging)
        stack.callback(reporter.close)
        # Opened first: a path that cannot be read is an error before anything is loaded.
        source = open_source(location, settings.source)
        # Shown before the imports below, which take seconds themselves.
        reporter.loading("networks")

        from streamer.cli._monitor import Monitor, RunReport
        from streamer.connectors.sinks.registry import open_sink
        from streamer.live.reconnect import SourceFactory
        from streamer.plugins import SinkContext

        notices: SimpleQueue[str] = SimpleQueue()
        sink_context = SinkContext(stream, {"kafka": settings.kafka}, notices.put)
        printed = "-" if settings.output.file is None else str(settings.output.file)
        run_report = RunReport(stream, reporter, notices)
        stack.callback(run_report.show_notices)
        monitor = stack.enter_context(Monitor(stream, settings.http))
        sinks: list[Sink] = []
        # The printed sink comes last: an event is spooled before it is printed.
        for target in (*settings.output.sinks, printed):
            sinks.append(open_sink(target, sink_context))
            stack.callback(sinks[-1].close)
        sinks[-1] = ReporterSink(sinks[-1], reporter)
        connect = SourceFactory(location, settings.source, source)
        return _segment(stream, connect, settings, sinks, run_report, monitor, interruption)


def _segment(
    stream: str,
    connect: Callable[[], Source],
    settings: Settings,
    sinks: Sequence[Sink],
    run_report: RunReport,
    monitor: Monitor,
    interruption: Interruption,
) -> bool:
    from streamer.connectors.sinks.sink import ConsumerGone
    from streamer.errors import SourceDamaged, SourceError
    from streamer.live.delivery import deliver
    from streamer.live.stream import StreamRun
    from streamer.logs import LibraryLogs
    from streamer.models.weights.store import WeightStore
    from streamer.pipeline.engine import load_engine
    from streamer.pipeline.segmentation import StreamSegmentation

    engine = load_engine(settings, WeightStore(offline=settings.runtime.offline))
    monitor.loaded(sinks)
    run = StreamRun(
        stream,
        connect,
        settings,
        StreamSegmentation(
            stream,
            engine.model,
            threshold=settings.segment.threshold,
            lookahead=settings.segment.lookahead,
        ),
        extractors=engine.extractors,
        shot_network=engine.shot_network,
    )
    interruption.stops(run.stop)
    try:
        with LibraryLogs(run_report.note, debug=settings.logging.debug):
            deliver(run.events(), sinks, emit=settings.output.emit, watchers=(monitor, run_report))
    except SourceDamaged:
        if run.progress.shots:
            run_report.finish(run.progress, "damaged input")
        raise
    except SourceError:
        # Stopped before enough input had arrived to be recognised as media.
        if not interruption.received:
            raise
    except ConsumerGone:
        run_report.finish(run.progress, "nobody reads the events")
        raise
    run_report.finish(run.progress, "interrupted" if interruption.received else "end of input")
    return run.endless
