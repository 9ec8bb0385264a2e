"""The catalogue's metrics as objects of one registry."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Gauge, Histogram

from streamer.metrics.catalogue import CATALOGUE

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics import MetricWrapperBase

    from streamer.metrics.catalogue import Definition

OTHER: Final = "other"
"""Label value for what comes after the bound on different values."""

_KINDS: Final[dict[str, type[Counter] | type[Gauge]]] = {"counter": Counter, "gauge": Gauge}


class Series:
    """Every counter, gauge and histogram of the catalogue.

    Args:
        registry: Where they are collected; not the library's global one.
        skip: Those that somebody else collects.
    """

    def __init__(self, registry: CollectorRegistry, skip: frozenset[Definition]) -> None:
        self._made: dict[str, MetricWrapperBase] = {}
        for each in CATALOGUE:
            if each.kind == "info" or each in skip:
                continue
            if each.kind == "histogram":
                made: MetricWrapperBase = Histogram(
                    each.name, each.help, each.labels, registry=registry, buckets=each.buckets
                )
            else:
                name = each.name.removesuffix("_total") if each.kind == "counter" else each.name
                made = _KINDS[each.kind](name, each.help, each.labels, registry=registry)
            self._made[each.name] = made

    def counter(self, which: Definition, *labels: str) -> Counter:
        """The counter of a definition, for its labels when it has any."""
        found = self._child(which, labels)
        assert isinstance(found, Counter)
        return found

    def gauge(self, which: Definition, *labels: str) -> Gauge:
        """The gauge of a definition, for its labels when it has any."""
        found = self._child(which, labels)
        assert isinstance(found, Gauge)
        return found

    def histogram(self, which: Definition, *labels: str) -> Histogram:
        """The histogram of a definition, for its labels when it has any."""
        found = self._child(which, labels)
        assert isinstance(found, Histogram)
        return found

    def forget(self, label: str, value: str) -> None:
        """Removes every series whose ``label`` has this value."""
        for each in CATALOGUE:
            if label in each.labels and each.name in self._made:
                self._made[each.name].remove_by_labels({label: value})

    def forget_one(self, which: Definition, *labels: str) -> None:
        """Removes one series."""
        self._made[which.name].remove(*labels)

    def _child(self, which: Definition, labels: tuple[str, ...]) -> MetricWrapperBase:
        made = self._made[which.name]
        child: MetricWrapperBase = made.labels(*labels) if which.labels else made
        return child


class Bounded:
    """Admits so many different label values; the rest share one.

    Args:
        most: Different values.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def __call__(self, value: str) -> str:
        """The value, or ``other`` when there are too many already."""
        with self._lock:
            if value not in self._known:
                if len(self._known) >= self._most:
                    return OTHER
                self._known.add(value)
            return value

    def drop(self, value: str) -> None:
        """Makes room."""
        with self._lock:
            self._known.discard(value)
