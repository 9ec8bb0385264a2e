"""Programs that tests start on loopback: found, started, awaited and ended."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.waiting import until

PATIENCE = 30.0
HOST = "127.0.0.1"


def program(name: str) -> str:
    """Where a program is; the tests need it, so that its absence is a failure."""
    found = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
    assert found is not None, f"{name} is not installed: scripts/system-packages"
    return found


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind((HOST, 0))
        return int(taken.getsockname()[1])


def answers(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def receives(port: int) -> bool:
    """Whether some program waits for datagrams."""
    tables = (Path(f"/proc/net/{name}").read_text() for name in ("udp", "udp6"))
    lines = (line.split() for table in tables for line in table.splitlines()[1:])
    return any(int(line[1].rpartition(":")[2], 16) == port for line in lines)


class Process:
    """A program that runs until it is stopped.

    Args:
        arguments: Its command line, the program's name first.
        log: File that takes what it prints.
        environment: In place of this process's.
    """

    def __init__(
        self,
        arguments: Sequence[str | Path],
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        name, *rest = arguments
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [program(str(name)), *map(str, rest)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
            )

    def until(self, ready: Callable[[], bool], what: str) -> None:
        """Polls until something is so; fails at once when the program has ended."""

        def check() -> bool:
            if ready():
                return True
            code = self._process.poll()
            assert code is None, f"{what}: ended with {code}: {self._log.read_text()[-2000:]}"
            return False

        until(check, what, seconds=PATIENCE)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def stop(self) -> None:
        """Ends it, the hard way after five seconds."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
