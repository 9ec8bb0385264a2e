"""Which stream ended the process, so that it does not end it again and again."""

from __future__ import annotations

import faulthandler
import json
import re
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streamer.errors import StateUnwritable
from streamer.files import PRIVATE, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILE: Final = "running.json"
CRASHES: Final = "crash.txt"
PROVEN_SECONDS: Final = 30.0
"""For which a stream has to run, or until it has closed a shot, to be no suspect."""
ALONE_SECONDS: Final = 10.0
"""For which nothing else begins beside a suspect, at most."""
FORGIVEN_SECONDS: Final = 86400.0
"""For which a stream has to run until deaths of the process are no more counted against it."""
DEATHS: Final = 2
MAX_BYTES: Final = 4 << 20

_CURRENT: Final = re.compile(r"^Current thread 0x([0-9a-f]+)", re.MULTILINE)
_POLL_SECONDS: Final = 0.2


@dataclass(slots=True)
class _Record:
    """What is known of one stream.

    Attributes:
        entry: Fingerprint of what is run: another one under the name is another stream.
        threads: Identities of its threads, as crash reports name them; none while it does not run.
        young: It runs, and is not yet proven.
        suspect: It was young when the process died, or is known to have ended it.
        deaths: Of the process, in which it was the only suspect.
        began: A reading of `time.monotonic`.
    """

    entry: str
    threads: tuple[int, ...] = ()
    young: bool = False
    suspect: bool = False
    deaths: int = 0
    began: float = 0.0


class CrashGuard:
    """Finds the stream that kills the process, and holds it back.

    The streams that run are noted on the disk until the process ends in order. Where it died
    instead, its crash report names a thread and so a stream. Without that (killed, out of memory, a
    thread of a library) those streams are suspects that had neither closed a shot nor run for
    `PROVEN_SECONDS`. Suspects begin after the others, one by one, so that the next death finds the
    one to blame alone. `DEATHS` hold a stream back until its entry is put or loaded again.

    All methods may be called from any thread.

    Args:
        folder: Of the streams' states; used by one process at a time.
        warn: Takes a stream's name and one line for people.
    """

    def __init__(self, folder: Path, warn: Callable[[str, str], None]) -> None:
        self._path, self._report, self._warn = folder / FILE, folder / CRASHES, warn
        self._changed = threading.Condition()
        self._records: dict[str, _Record] = {}
        self._load()

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Have crashes of this process reported into the folder while the context lasts.

        Raises:
            StateUnwritable: The report cannot be opened.
        """
        try:
            file = self._report.open("wb")
        except OSError as error:
            reason = f"{self._report}: cannot be written: {error.strerror}"
            raise StateUnwritable(reason) from error
        with file:
            faulthandler.enable(file)
            try:
                yield
            finally:
                faulthandler.disable()
        self._report.unlink(missing_ok=True)

    def held(self, name: str, entry: str) -> str | None:
        """Why a stream may not run; None when it may.

        Args:
            name: Of the stream.
            entry: Fingerprint of what would be run.
        """
        with self._changed:
            record = self._records.get(name)
            if record is None or record.entry != entry or record.deaths < DEATHS:
                return None
            return (
                f"held back: it ended the process {record.deaths} times in a row; "
                "PUT it again or send SIGHUP to try it once more, DELETE it to be rid of it"
            )

    def suspect(self, name: str) -> bool:
        """Whether a stream has to wait until the others run."""
        with self._changed:
            return name in self._records and self._records[name].suspect

    def expect(self, name: str, entry: str) -> None:
        """Say that a stream is about to begin; suspects wait for it.

        Args:
            name: Of the stream.
            entry: Fingerprint of what is run.
        """
        with self._changed:
            record = self._records.get(name)
            if record is None or record.entry != entry:
                record = self._records[name] = _Record(entry)
            if not record.suspect:
                record.young, record.began = True, time.monotonic()

    def admit(self, name: str, stopped: Callable[[], bool]) -> bool:
        """Wait for a stream's turn, and note durably that it begins on the calling thread.

        Args:
            name: Of a stream that was expected.
            stopped: Whether it must not begin any more.

        Returns:
            False when it was stopped before.

        Raises:
            StateUnwritable: That cannot be noted.
        """
        with self._changed:
            record = self._records[name]
            if record.suspect and not record.young:
                self._warn(name, "the process died while it ran; it begins when the others run")
                while not self._alone():
                    if stopped():
                        return False
                    self._changed.wait(_POLL_SECONDS)
                record.young, record.began = True, time.monotonic()
            record.threads = _threads()
            self._write()
            return True

    def note(self, name: str) -> None:
        """Note which threads work for a stream now; to be called on its own."""
        with self._changed:
            record, threads = self._records.get(name), _threads()
            if record is not None and record.threads and record.threads != threads:
                record.threads = threads
                with suppress(StateUnwritable):
                    self._write()

    def runs(self, name: str, *, closed: bool) -> None:
        """Note how long a stream has lived; a disk that is full is tried again the next time.

        Args:
            name: Of the stream.
            closed: It has closed a shot since it began.
        """
        with self._changed:
            record = self._records.get(name)
            if record is None or not (record.young or record.deaths):
                return
            lived = time.monotonic() - record.began
            proven = record.young and (closed or lived > PROVEN_SECONDS)
            forgiven = record.deaths > 0 and lived > FORGIVEN_SECONDS
            if proven or forgiven:
                record.young = record.suspect = False
                record.deaths = 0 if forgiven else record.deaths
                with suppress(StateUnwritable):
                    self._write()
                self._changed.notify_all()

    def left(self, name: str) -> None:
        """Note that a stream has ended by itself or was stopped."""
        with self._changed:
            record = self._records.get(name)
            if record is None:
                return
            record.young = False
            if record.threads:
                record.threads, record.suspect = (), False
                with suppress(StateUnwritable):
                    self._write()
            self._changed.notify_all()

    def release(self, name: str) -> None:
        """Forget what a stream did."""
        with self._changed:
            if self._records.pop(name, None) is not None:
                with suppress(StateUnwritable):
                    self._write()
                self._changed.notify_all()

    def close(self) -> None:
        """Note that the process ends in order: what runs now is to blame for nothing."""
        with self._changed:
            for record in self._records.values():
                record.suspect = record.suspect and not record.threads
                record.threads, record.young = (), False
            with suppress(StateUnwritable):
                self._write()

    def _alone(self) -> bool:
        now = time.monotonic()
        return not any(r.young and now - r.began < ALONE_SECONDS for r in self._records.values())

    def _write(self) -> None:
        kept = {
            name: [record.entry, record.threads, record.young, record.suspect, record.deaths]
            for name, record in self._records.items()
            if record.threads or record.suspect or record.deaths
        }
        try:
            write_atomically(self._path, json.dumps(kept).encode(), mode=PRIVATE, alone=True)
        except OSError as error:
            reason = f"{self._path}: cannot be written: {error.strerror}"
            raise StateUnwritable(reason) from error

    def _load(self) -> None:
        """Take up what the last process left, and draw the conclusions."""
        try:
            if self._path.stat().st_size > MAX_BYTES:
                raise ValueError("too large")
            kept = json.loads(self._path.read_bytes())
            for name, (entry, threads, young, suspect, deaths) in kept.items():
                known = tuple(int(each) for each in threads)
                self._records[name] = _Record(
                    str(entry), known, bool(young), bool(suspect), int(deaths)
                )
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            self._records.clear()
            self._warn("serve", f"{self._path}: damaged; no stream is held back by it")
            return
        running = [one for one in self._records.values() if one.threads]
        guilty = self._named(running) or [one for one in running if one.young]
        for record in guilty:
            record.suspect = True
        if len(guilty) == 1:
            guilty[0].deaths += 1
        for record in running:
            record.threads, record.young = (), False
        with suppress(StateUnwritable):
            self._write()

    def _named(self, running: list[_Record]) -> list[_Record]:
        """The stream on whose thread the process crashed, if there is a report that says so."""
        try:
            with self._report.open("rb") as file:
                found = _CURRENT.search(file.read(MAX_BYTES).decode(errors="replace"))
        except OSError:
            return []
        return [one for one in running if found and int(found[1], 16) in one.threads]


def _threads() -> tuple[int, ...]:
    """The calling thread and those named after it."""
    own = threading.current_thread().name
    return tuple(
        thread.ident
        for thread in threading.enumerate()
        if thread.ident is not None and (thread.name == own or thread.name.startswith(f"{own} "))
    )
