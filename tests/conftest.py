"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streamer.models.weights.manifest import MANIFEST
from streamer.models.weights.store import WeightStore

# Matrices are tiny here; threads that spin for each other are ten times as slow on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from tests.kafka import Broker
    from tests.servers.nginx import Nginx


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
    from tests.servers import film

    path = tmp_path_factory.mktemp("film") / "film.mkv"
    film.write(path)
    return path
