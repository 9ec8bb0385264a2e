"""Run many streams in one process: ``streamer serve``."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from streamer.cli.app import Shell
    from streamer.config.settings import Settings
    from streamer.logs import ProcessLog
    from streamer.serve.service import Service


def serve(
    context: typer.Context,
    config: Annotated[
        Path, typer.Option("--config", metavar="FILE", help=r"Settings and \[\[streams]] as TOML.")
    ],
    listen: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Where /streams and /metrics are.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where streams keep their states.")
    ] = None,
    quiet: Annotated[bool | None, typer.Option("--quiet", "-q", help="Errors only.")] = None,
    json_logs: Annotated[
        bool | None, typer.Option("--json-logs", help="What happens as JSON lines.")
    ] = None,
) -> int:
    r"""Run every \[\[streams]] entry of a file, and keep them running.

    Each stream has its own source, sinks and thresholds; all share the networks. SIGHUP loads the
    file again: streams are added, changed and removed without touching the others. SIGTERM and
    SIGINT end the process, a second one at once; started again, every stream continues after its
    last shot.

    Examples:

      streamer serve --config config.toml

      curl http://127.0.0.1:9464/streams

      kill -HUP $(pidof -x streamer)
    """
    from streamer.config.load import load_settings
    from streamer.heap import keep_level

    shell: Shell = context.obj
    overrides = {
        "serve.listen": listen,
        "serve.state": state,
        "logging.quiet": quiet,
        "logging.json_logs": json_logs,
        "logging.debug": shell.debug or None,
    }
    settings = load_settings(config, overrides)
    shell.json_logs = settings.logging.json_logs
    wanted = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread starts, so that the wait below is the only one that gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    keep_level()
    return _serve(config, settings, wanted)


def _serve(config: Path, settings: Settings, wanted: set[signal.Signals]) -> int:
    from streamer.config.listen import parse_listen
    from streamer.config.streams import load_streams
    from streamer.http.app import make_app
    from streamer.http.health import Checks
    from streamer.http.server import HttpServer
    from streamer.logs import LibraryLogs, ProcessLog
    from streamer.metrics.metrics import Metrics
    from streamer.models.weights.store import WeightStore
    from streamer.pipeline.engine import load_engine, share
    from streamer.serve.host import ServeContext
    from streamer.serve.roster import state_folder
    from streamer.serve.routes import Routes
    from streamer.serve.service import Service
    from streamer.serve.status import watch

    entries = load_streams(config)
    logging = settings.logging
    log = ProcessLog("serve", quiet=logging.quiet, json_logs=logging.json_logs, debug=logging.debug)
    metrics, checks = Metrics(), Checks()
    with ExitStack() as stack:
        stack.enter_context(LibraryLogs(log.warning, debug=logging.debug))
        folder = stack.enter_context(state_folder(settings.serve))
        engine = load_engine(settings, WeightStore(offline=settings.runtime.offline))
        shared = stack.enter_context(share(engine, settings.runtime, metrics.batches.passed))
        context = ServeContext(settings, metrics, folder, log.stream)
        service = Service(engine, shared, context)
        stack.enter_context(service.guard.reporting())
        watch(checks, service, settings.http.fresh_seconds)
        routes = Routes(service, settings.serve.token, metrics.refused)
        listen = parse_listen(settings.serve.listen)
        server = HttpServer(lambda: make_app(metrics, checks, routes.table()), listen)
        stack.callback(server.stop)
        at = server.start()
        service.start(entries)
        log.info(f"{len(service.hosts)} streams; http://{at}/streams")
        _wait(config, service, log, wanted)
        _kill_on_next_signal(wanted)
        log.info("stopping; another signal ends it at once")
        for name in service.stop():
            log.error(f"{name}: did not end in time; next time it continues after its last shot")
    return 0


def _wait(config: Path, service: Service, log: ProcessLog, wanted: set[signal.Signals]) -> None:
    from streamer.config.streams import load_streams
    from streamer.errors import ConfigError, StateError
    from streamer.serve.service import Busy

    while signal.sigwait(wanted) == signal.SIGHUP:
        try:
            service.reload(load_streams(config))
        except (ConfigError, StateError, Busy) as error:
            log.error(f"not reloaded: {error}")
        else:
            log.info(f"reloaded: {len(service.hosts)} streams")


def _kill_on_next_signal(wanted: set[signal.Signals]) -> None:
    """Let the next signal kill the process: states and spools are consistent at any moment."""
    for number in wanted - {signal.SIGHUP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, wanted - {signal.SIGHUP})
