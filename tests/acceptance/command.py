"""Runs the real command and reads what it prints."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from queue import Queue
from typing import IO, Any

import pytest

from streamer.cli.app import run
from streamer.events.validate import problems

Event = dict[str, Any]
BOUNDARY = "dev.moae-streamer.scene.boundary.v1"
SHOT = "dev.moae-streamer.shot.v1"
SCENE = "dev.moae-streamer.scene.v1"
EVERYTHING = ("--emit", "boundaries,shots,scenes")
PATIENCE = 120.0


def read_event(line: str | bytes) -> Event:
    """One line of output, held against the schema that ships."""
    event = json.loads(line)
    assert problems(event) == []
    assert isinstance(event, dict)
    return event


@dataclass(frozen=True)
class Outcome:
    """What a finished command left behind.

    Attributes:
        code: Exit code.
        events: Everything on standard output, all of it valid events.
        errors: Standard error.
    """

    code: int
    events: list[Event]
    errors: str

    @classmethod
    def of(cls, code: int, output: str, errors: str) -> Outcome:
        assert output == "" or output.endswith("\n")
        return cls(code, [read_event(line) for line in output.splitlines()], errors)

    def data(self, kind: str) -> list[dict[str, Any]]:
        return [event["data"] for event in self.events if event["type"] == kind]

    @property
    def boundaries(self) -> list[dict[str, Any]]:
        return self.data(BOUNDARY)

    @property
    def shots(self) -> list[dict[str, Any]]:
        return self.data(SHOT)

    @property
    def scenes(self) -> list[dict[str, Any]]:
        return self.data(SCENE)

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.events]

    @property
    def scores(self) -> list[float]:
        return [data["score"] for data in self.boundaries]


@dataclass(frozen=True)
class Tail:
    """``streamer tail`` with the test's checkpoint.

    Attributes:
        checkpoint: Given unless the arguments name one.
        capture: Takes what the command writes in this process.
    """

    checkpoint: str
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: object) -> Outcome:
        """Runs in this process to the end."""
        self.capture.readouterr()
        code = run(self._words(arguments))
        captured = self.capture.readouterr()
        return Outcome.of(code, captured.out, captured.err)

    def start(self, *arguments: object, stdin: IO[bytes] | int | None = None) -> Process:
        """Starts ``python -m streamer tail`` in a process of its own."""
        return Process([sys.executable, "-m", "streamer", *self._words(arguments)], stdin)

    def _words(self, arguments: Iterable[object]) -> list[str]:
        words = ["tail", *map(str, arguments)]
        return words if "--checkpoint" in words else [*words, "--checkpoint", self.checkpoint]


@dataclass
class Process:
    """A running command whose events can be read one by one.

    Attributes:
        command: Its words.
        stdin: As `subprocess.Popen` takes it.
    """

    command: Sequence[str]
    stdin: IO[bytes] | int | None = None
    events: list[Event] = field(default_factory=list)

    def __enter__(self) -> Process:
        self.child = subprocess.Popen(
            self.command, stdin=self.stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._lines: Queue[bytes] = Queue()
        self._errors: list[bytes] = []
        self._threads = [
            threading.Thread(target=self._collect, daemon=True),
            threading.Thread(target=self._collect_errors, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait(PATIENCE)
        for thread in self._threads:
            thread.join(PATIENCE)
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            if stream is not None:
                stream.close()

    def next_event(self) -> Event:
        """Waits for the next line."""
        line = self._lines.get(timeout=PATIENCE)
        assert line, b"".join(self._errors).decode()
        self.events.append(read_event(line))
        return self.events[-1]

    def finish(self) -> Outcome:
        """Waits for the end of the process."""
        while line := self._lines.get(timeout=PATIENCE):
            self.events.append(read_event(line))
        code = self.child.wait(PATIENCE)
        self._threads[1].join(PATIENCE)
        return Outcome(code, self.events, b"".join(self._errors).decode())

    def _collect(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _collect_errors(self) -> None:
        assert self.child.stderr is not None
        self._errors.extend(self.child.stderr)
