"""Fixtures that every test may use."""

from __future__ import annotations

import pytest

from models.weights.manifest import MANIFEST
from models.weights.store import WeightStore


@pytest.fixture(scope="session")
def weight_store() -> WeightStore:
    """The real weights of every default network, pulled into the usual cache when absent."""
    store = WeightStore()
    for network in MANIFEST:
        store.pull(network)
    return store
