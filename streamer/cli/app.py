"""Run the command line: import only the command in use, and map errors to exit codes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from streamer import __version__
from streamer.cli._arguments import add_checks, find_dashed_file, is_input

if TYPE_CHECKING:
    from collections.abc import Sequence

SEGMENT: Final = "Segment"
WEIGHTS: Final = "Networks and settings"
LEARN: Final = "Learn and measure"

# Name → (module, panel, one-line help). streamer.cli.MODULE holds a function or a typer.Typer
# called NAME; it is imported when the command is used, never for --help.
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "tail": ("segment", SEGMENT, "Print scene boundaries of a film while it plays."),
    "serve": (
        "serve",
        SEGMENT,
        "Run many streams for days; add, change and remove them while it runs.",
    ),
    "probe": ("inspect", SEGMENT, "Show what an input holds and whether it can be segmented."),
    "devices": ("inspect", SEGMENT, "List microphones, cameras and screens."),
    "worker": ("fleet", SEGMENT, "Take part in a fleet that shares streams through Kafka."),
    "streams": ("fleet", SEGMENT, "Add, remove and list the streams that a fleet reads."),
    "topics": ("fleet", SEGMENT, "Create the Kafka topics that events go to."),
    "consume": ("events", SEGMENT, "Print the events of a Kafka topic, each once."),
    "spool": ("spool", SEGMENT, "List and send events that still wait for Kafka."),
    "sample": ("datasets", SEGMENT, "Compose the demo's sample film with known scene times."),
    "compare": ("events", SEGMENT, "Show true scene times next to those found."),
    "schema": ("inspect", SEGMENT, "Print the JSON Schema of an event."),
    "weights": ("weights", WEIGHTS, "Pull, list and verify the pretrained networks."),
    "plugins": ("inspect", WEIGHTS, "List sources, sinks, aspects and shot detectors."),
    "compose": ("datasets", LEARN, "Compose annotated synthetic films."),
    "extract": ("datasets", LEARN, "Turn annotated films into a dataset of shot features."),
    "train": ("training", LEARN, "Train experts and mixer."),
    "evaluate": ("evaluation", LEARN, "Measure a checkpoint on a dataset."),
    "tables": ("training", LEARN, "Train and compare every row of the paper by cross validation."),
    "calibrate": ("evaluation", LEARN, "Choose the decision threshold on training movies."),
    "bench": ("bench", LEARN, "Measure speed and memory."),
}

HELP: Final = {"help_option_names": ["-h", "--help"]}

EPILOG: Final = "\n\n".join(
    (
        "Examples:",
        "  streamer tail film.mkv",
        "  streamer tail film.mkv --emit boundaries,shots --output events.jsonl",
        "  streamer tail recording.ts --follow --idle-timeout 30",
        "  ffmpeg -i film.mkv -c copy -f mpegts - | streamer tail -",
        "  streamer weights pull",
    )
)


class LazyGroup(TyperGroup):
    """List commands from a table, and import one when it is run."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, (_, panel, text) in COMMANDS.items():
            self.add_command(TyperCommand(name, help=text, rich_help_panel=panel))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Replace the table's entry by the real command; an input alone means ``tail``."""
        if args[0] not in COMMANDS and is_input(args[0]):
            # A word that begins with a dash came after "--", which keeps it from being an option.
            plain = ["--", *args] if args[0].startswith("-") and args[0] != "-" else args
            return "tail", load("tail"), plain
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else command, rest


@dataclass(slots=True)
class Shell:
    """Hold how errors are reported; the ``typer.Context.obj`` of every command.

    Attributes:
        debug: Whether to print tracebacks and debug log lines.
        json_logs: Whether errors are JSON lines; set by commands once they have their settings.
    """

    debug: bool = False
    json_logs: bool = False


def load(name: str) -> Any:
    """Import a command.

    Args:
        name: A key of `COMMANDS`.

    Returns:
        The click command that typer builds of it.
    """
    module, _, _ = COMMANDS[name]
    group = getattr(import_module(f"streamer.cli.{module}"), name)
    if not isinstance(group, typer.Typer):
        function, group = group, typer.Typer(add_completion=False)
        group.command(name)(function)
    command = get_command(group)
    command.name = name
    for each in (command, *getattr(command, "commands", {}).values()):
        each.context_settings = {**(each.context_settings or {}), **HELP}
        add_checks(each)
    return command


app = typer.Typer(
    cls=LazyGroup,
    context_settings=HELP,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"moae-streamer {__version__}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog=EPILOG)
def streamer(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Show tracebacks and debug log lines; may stand anywhere."),
    ] = False,
) -> None:
    """Live scene boundaries in video: where one scene ends and the next begins."""
    context.ensure_object(Shell).debug = debug
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code: 0, one of `streamer.errors`, 2 for wrong usage, 70 for an internal error,
        130 after an interrupt.
    """
    from streamer.cli._output import (
        INTERRUPTED,
        USAGE,
        checked_output,
        handle,
        report_error,
        usage_message,
    )
    from streamer.connectors.sinks.sink import ConsumerGone
    from streamer.logs import LibraryLogs, ProcessLog

    words, debug = _debug_first(arguments)
    shell = Shell(debug, "--json-logs" in words)
    log = ProcessLog("warning", json_logs=shell.json_logs, debug=debug)
    try:
        with LibraryLogs(log.warning, debug=debug), checked_output():
            result = get_command(app).main(
                words, prog_name="streamer", standalone_mode=False, obj=shell
            )
    except typer.TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "streamer")
        message = f"{usage_message(error).rstrip('.')}. See {command} --help"
        if file := find_dashed_file(words):
            message = f"a name that begins with - goes behind --: streamer tail -- {file}"
        report_error(message, USAGE, json_logs=shell.json_logs)
        return USAGE
    except ConsumerGone:
        return 0
    except typer.Abort:
        return INTERRUPTED
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 # the last line of defence
        return handle(error, debug=debug, json_logs=shell.json_logs)
    return result if isinstance(result, int) else 0


def main() -> None:
    """Run the ``streamer`` command and exit with its code."""
    from streamer.cli._output import drop_output
    from streamer.logs import LibraryLogs

    # Libraries log unformatted lines at exit.
    LibraryLogs(lambda line: None).keep()
    code = run(sys.argv[1:])
    if code:
        drop_output()
    sys.exit(code)


def _debug_first(arguments: Sequence[str]) -> tuple[list[str], bool]:
    words = list(arguments)
    end = words.index("--") if "--" in words else len(words)
    kept = [word for word in words[:end] if word != "--debug"]
    debug = len(kept) < end
    return ["--debug"] * debug + kept + words[end:], debug
