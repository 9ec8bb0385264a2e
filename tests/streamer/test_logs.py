"""Nothing that a library says reaches standard error as it is."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from streamer.logs import LibraryLogs, ProcessLog, RateLimit, counted
from tests.waiting import until

SECRET = "token-never-to-be-seen"


def raised() -> Exception:
    try:
        raise ValueError(f"{SECRET}\nsecond line")
    except ValueError as error:
        return error


def through_logger(name: str, level: int = logging.ERROR) -> Callable[[], None]:
    return lambda: logging.getLogger(name).log(
        level, "address %s", SECRET, exc_info=raised() if level >= logging.ERROR else None
    )


def through_its_own_handler() -> None:
    logger = logging.getLogger("tests.own")
    logger.error("%s", SECRET)


def through_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(SECRET, RuntimeWarning, stacklevel=1)


def through_a_thread() -> None:
    def fail() -> None:
        raise ValueError(SECRET)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


class Dying:
    def __del__(self) -> None:
        raise ValueError(SECRET)


def through_a_destructor() -> None:
    Dying()
    gc.collect()


def through_a_task() -> None:
    async def fail() -> None:
        raise ValueError(SECRET)

    async def leave() -> None:
        task = asyncio.get_running_loop().create_task(fail())
        await asyncio.wait([task])

    asyncio.run(leave())
    gc.collect()


def through_a_callback() -> None:
    def fail() -> None:
        raise ValueError(SECRET)

    async def call() -> None:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)

    asyncio.run(call())


def through_a_bad_format() -> None:
    logging.getLogger("aiokafka").error("%d of %s", SECRET)


SOURCES: dict[str, tuple[Callable[[], None], str]] = {
    "aiohttp": (through_logger("aiohttp.server"), "aiohttp.server: ValueError at test_logs.py:"),
    "urllib3": (
        through_logger("urllib3.connectionpool", logging.WARNING),
        "urllib3.connectionpool: warning at test_logs.py:",
    ),
    "own handler": (through_its_own_handler, "tests.own: error at test_logs.py:"),
    "warning": (through_a_warning, "a library warns: RuntimeWarning at test_logs.py:"),
    "thread": (through_a_thread, "a thread ended: ValueError at test_logs.py:"),
    "destructor": (through_a_destructor, "an error could not be raised: ValueError at test_logs"),
    "task": (through_a_task, "asyncio: Task exception was never retrieved: ValueError at test_"),
    "callback": (through_a_callback, "asyncio: Exception in callback"),
    "bad format": (through_a_bad_format, "aiokafka: a line that cannot be formatted"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("source", "line"), SOURCES.values(), ids=SOURCES.keys())
def test_what_libraries_say_is_one_line_a_kind_without_their_words(
    source: Callable[[], None], line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    own = logging.getLogger("tests.own")
    handler = logging.StreamHandler(sys.stderr)
    own.addHandler(handler)
    own.propagate = False
    said: list[str] = []
    hooks = (sys.unraisablehook, threading.excepthook, warnings.showwarning)
    try:
        with LibraryLogs(said.append):
            for _ in range(5):
                source()
        assert own.handlers == [handler]
        assert not own.propagate
    finally:
        own.removeHandler(handler)
        own.propagate = True
    assert (sys.unraisablehook, threading.excepthook, warnings.showwarning) == hooks
    assert len(said) == 2
    assert said[0].startswith(line)
    assert said[1].endswith("(4 more)")
    assert SECRET not in str(said)
    assert "\n" not in "".join(said)
    assert capfd.readouterr() == ("", "")


def test_the_clients_of_brokers_say_why_and_everything_does_with_debug() -> None:
    said: list[str] = []
    with LibraryLogs(said.append):
        logging.getLogger("aiokafka.consumer").error("cannot join %s", "scenes")
        logging.getLogger("aiokafka.consumer").warning("heartbeat failed")
        logging.getLogger("streamer.http").warning("refused")
    assert said == ["kafka: cannot join scenes", "refused"]
    said.clear()
    with LibraryLogs(said.append, debug=True):
        logging.getLogger("urllib3").warning("connection to %s", "host")
        logging.getLogger("urllib3").error("failed", exc_info=raised())
    assert said[0] == "urllib3: connection to host"
    assert said[1].startswith("urllib3: ValueError: ")


def test_the_innermost_holds_and_the_outer_one_comes_back() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with LibraryLogs(outer.append):
        with LibraryLogs(inner.append):
            through_logger("a")()
        through_logger("b")()
    assert [line.partition(":")[0] for line in inner] == ["a"]
    assert [line.partition(":")[0] for line in outer] == ["b"]


def test_what_was_held_back_is_told_when_nothing_more_comes() -> None:
    said: list[str] = []
    with LibraryLogs(said.append, seconds=0.2):
        for _ in range(7):
            through_logger("a")()
        until(lambda: len(said) == 2, lambda: str(said))
        assert said[1].endswith("(6 more)")


JSON = """
import logging, sys, threading, warnings
import torch, urllib3
from streamer.logs import LibraryLogs, ProcessLog

log = ProcessLog("serve", json_logs=True)
with LibraryLogs(log.warning):
    logging.getLogger("torch").warning("raw")
    logging.getLogger("torch._dynamo").warning("raw")
    logging.getLogger("urllib3").warning("raw")
    warnings.warn("raw")
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    log.stream("news", "lost\\nand found")
    log.error("not reloaded")
"""


def test_every_line_is_json_also_of_loggers_with_handlers_of_their_own() -> None:
    done = subprocess.run([sys.executable, "-c", JSON], capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {line["event"] for line in lines} == {"serve", "stream"}
    assert "raw" not in done.stderr
    messages = sorted(line["message"].partition(" at ")[0] for line in lines)
    assert messages == [
        "a library warns: UserWarning",
        "a thread ended: ZeroDivisionError",
        "lost and found",
        "not reloaded",
        "torch._dynamo: warning",
        "torch: warning",
        "urllib3: warning",
    ]


def test_quiet_leaves_errors_only(capsys: pytest.CaptureFixture[str]) -> None:
    log = ProcessLog("worker", quiet=True)
    log.info("begins")
    log.warning("odd")
    log.stream("news", "lost")
    log.error("wrong")
    assert capsys.readouterr().err == "error: wrong\n"


def test_one_of_a_kind_passes_in_a_time_and_the_others_are_counted() -> None:
    limit = RateLimit(10.0, kinds=2)
    assert limit.passes("a", now=0.0) == 0
    assert [limit.passes("a", now=float(at)) for at in range(1, 10)] == [None] * 9
    assert limit.passes("b", now=5.0) == 0
    assert limit.passes("a", now=10.0) == 9
    assert limit.passes("a", now=20.0) == 0
    # The third kind takes the place of the one that passed longest ago.
    assert limit.passes("c", now=21.0) == 0
    assert limit.passes("b", now=21.0) == 0
    assert limit.passes("c", now=22.0) is None
    assert counted("line", 0) == "line"
    assert counted("line", 3) == "line (and 3 more like it)"


def test_of_many_threads_one_passes_and_none_is_lost() -> None:
    limit = RateLimit(1000.0)
    with ThreadPoolExecutor(8) as pool:
        passed = list(pool.map(lambda _: limit.passes("a"), range(2000)))
    assert [each for each in passed if each is not None] == [0]
    assert limit.overdue(all_kinds=True) == {"a": 1999}
