"""Fixtures that every test may use, and the markers that follow from what a test uses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from inspect import unwrap
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

import pytest

from streamer.models.weights.manifest import MANIFEST
from streamer.models.weights.store import WeightStore

# Matrices are tiny here; threads that spin for each other are ten times as slow on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from tests.kafka import Broker
    from tests.servers.nginx import Nginx

HERE: Final = Path(__file__).parent
MARKERS: Final = {
    "tests.kafka": "kafka",
    "tests.connectors.kafka.secured": "kafka",
    "tests.servers": "network",
    "streamer.http.server": "network",
    "aiohttp": "network",
    "http": "network",
    "socket": "network",
    "urllib.request": "network",
}
"""A module → the marker of tests that use it."""
HARMLESS: Final = {
    "http.HTTPStatus",
    "tests.servers.authority",
    "tests.servers.film",
    "tests.servers.process.program",
}
SLOW: Final = (
    "acceptance",
    "fuzz",
    "models/tables",
    "models/training",
    "packaging",
    "streamer/bench",
)
"""Folders whose tests segment films, train or install."""
ADDRESSES: Final = {"socket.bind", "socket.connect"}
_opened: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the modules that they, their fixtures and their helpers use."""
    for item in items:
        if isinstance(item, pytest.Function):
            for marker in _markers(item):
                item.add_marker(marker)
        folder = item.path.parent.relative_to(HERE).as_posix()
        if folder.startswith(SLOW):
            item.add_marker("slow")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests that need a CUDA device where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that opens an Internet address without being marked for it."""
    _opened.clear()
    yield
    if _opened and not {"kafka", "network", "soak"} & {mark.name for mark in item.iter_markers()}:
        pytest.fail(f"{_opened[0]}: mark the test with pytest.mark.network")


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ADDRESSES and isinstance(arguments[1], tuple):
        _opened.append(f"{event} {arguments[1]}")


sys.addaudithook(_audit)


def _markers(item: pytest.Function) -> set[str]:
    """Follow the names in a test's code through the helpers that it calls."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    todo: list[object] = [item.function, *(made.func for each in fixtures for made in each)]
    seen: set[int] = set()
    found: set[str] = set()
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, ModuleType):
            found |= _marker(value.__name__)
            continue
        module = getattr(value, "__module__", None) or ""
        name = f"{module}.{getattr(value, '__name__', '')}"
        if marker := _marker(name):
            found |= marker
        elif module.startswith("tests"):
            todo += _used(value)
    return found


def _marker(name: str) -> set[str]:
    if any(name == harmless or name.startswith(f"{harmless}.") for harmless in HARMLESS):
        return set()
    return {
        marker
        for module, marker in MARKERS.items()
        if name == module or name.startswith(f"{module}.")
    }


def _used(value: object) -> list[object]:
    """Look up the globals that a function, or a class with its bases, refers to."""
    if isinstance(value, type):
        return [*vars(value).values(), *value.__bases__]
    inner = getattr(value, "fget", None) or getattr(value, "__func__", None) or value
    value = unwrap(inner) if callable(inner) else inner
    if not isinstance(value, FunctionType):
        return []
    names: set[str] = set()
    codes = [value.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [inner for inner in code.co_consts if isinstance(inner, CodeType)]
    # Dotted names are imports inside the function.
    imported = [sys.modules.get(name) or ModuleType(name) for name in names if "." in name]
    return [*imported, *(value.__globals__[name] for name in names if name in value.__globals__)]


@pytest.fixture(scope="session")
def weight_store() -> WeightStore:
    """The real weights of every default network, pulled into the usual cache when absent."""
    store = WeightStore()
    for network in MANIFEST:
        store.pull(network)
    return store


@pytest.fixture(scope="session")
def broker() -> Iterator[Broker]:
    """A real Apache Kafka, started when the first test asks for it."""
    from tests.kafka import Broker

    started = Broker.start()
    yield started
    started.delete()


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    """A real web and RTMP server, started when the first test asks for it."""
    from tests.servers.nginx import Nginx

    started = Nginx(tmp_path_factory.mktemp("nginx"))
    yield started
    started.stop()


@pytest.fixture(scope="session")
def known_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds whose cuts are known exactly: `tests.servers.film`."""
    from tests.servers.film import write

    path = tmp_path_factory.mktemp("film") / "film.mkv"
    write(path)
    return path
