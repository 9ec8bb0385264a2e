"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from models.weights.manifest import MANIFEST
from models.weights.store import WeightStore

if TYPE_CHECKING:
    from tests.kafka import Broker


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
