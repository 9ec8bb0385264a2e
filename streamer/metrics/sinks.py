"""Numbers that sinks keep themselves, asked for when somebody collects."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from streamer.errors import StreamerError
from streamer.metrics import catalogue as names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from streamer.errors import ErrorKind
    from streamer.metrics.catalogue import Definition


class SinkState(Protocol):
    """A sink's numbers since it was opened; `streamer.connectors.sinks.kafka.KafkaState` is one."""

    @property
    def delivered(self) -> int:
        """Events acknowledged."""

    @property
    def waiting(self) -> int:
        """Events in the spool."""

    @property
    def waiting_bytes(self) -> int:
        """Their bytes."""

    @property
    def dropped(self) -> int:
        """Events dropped because the spool was full."""

    @property
    def refused(self) -> int:
        """Events that no broker takes."""

    @property
    def stalled(self) -> bool:
        """Whether events wait and none was taken for a while."""


@runtime_checkable
class Stateful(Protocol):
    """A sink that keeps numbers."""

    @property
    def name(self) -> str:
        """Where it leads."""

    @property
    def state(self) -> SinkState:
        """The numbers now."""


@runtime_checkable
class Troubled(Protocol):
    """The state of a sink that speaks to brokers."""

    @property
    def errors(self) -> Mapping[ErrorKind, int]:
        """What went wrong, by kind."""


_FIELDS: Final[tuple[tuple[Definition, Callable[[SinkState], float]], ...]] = (
    (names.SPOOL_BYTES, lambda state: state.waiting_bytes),
    (names.SPOOL_EVENTS, lambda state: state.waiting),
    (names.SPOOL_DROPPED, lambda state: state.dropped),
    (names.SINK_DELIVERED, lambda state: state.delivered),
    (names.SINK_REFUSED, lambda state: state.refused),
    (names.SINK_STALLED, lambda state: state.stalled),
)

COLLECTED: Final = frozenset(
    {*(which for which, _ in _FIELDS), names.SINK_ERRORS, names.WORKER_ERRORS, names.UNDELIVERED}
)
"""The metrics that come from here."""


class _Totals:
    """What the sinks of one label counted that are asked no more, so that no counter goes back."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.errors: Counter[ErrorKind] = Counter()

    def add(self, state: SinkState) -> None:
        for which, number in _FIELDS:
            if which.kind == "counter":
                self.counts[which.name] += int(number(state))
        self.errors.update(_of(state))


@dataclass(frozen=True, slots=True)
class _Watched:
    label: str
    state: Callable[[], SinkState]


class SinkCollector(Collector):
    """Asks every watched sink; several of one stream are added up. And a worker's clients."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], int]] = []
        self._errors: list[Callable[[], Mapping[ErrorKind, int]]] = []
        # By stream and name of the sink.
        self._watched: dict[tuple[str, str], _Watched] = {}
        self._totals: dict[str, _Totals] = {}
        self._lock = threading.Lock()

    def watch(self, label: str, stream: str, sink: str, state: Callable[[], SinkState]) -> None:
        """Begins to ask a sink, in the place of the stream's earlier one of the same name.

        Args:
            label: The stream's.
            stream: Whose.
            sink: Its name.
            state: Its numbers now; called from the thread that collects.
        """
        with self._lock:
            self._settle((stream, sink))
            self._totals.setdefault(label, _Totals())
            self._watched[stream, sink] = _Watched(label, state)

    def keep(self, stream: str, sinks: Collection[str]) -> None:
        """Asks a stream's other sinks no more; what they counted stays."""
        with self._lock:
            for place in list(self._watched):
                if place[0] == stream and place[1] not in sinks:
                    self._settle(place)

    def watch_client(
        self, waiting: Callable[[], int], errors: Callable[[], Mapping[ErrorKind, int]]
    ) -> None:
        """Begins to ask what a worker writes with.

        Args:
            waiting: Records that are not acknowledged.
            errors: What went wrong, by kind.
        """
        with self._lock:
            self._waiting.append(waiting)
            self._errors.append(errors)

    def forget(self, stream: str, label: str | None) -> None:
        """Stops asking a stream's sinks.

        Args:
            stream: Whose.
            label: What goes with it; None where it shares its label with others.
        """
        self.keep(stream, ())
        with self._lock:
            if label is not None:
                self._totals.pop(label, None)

    def collect(self) -> Iterator[Metric]:
        """The library asks."""
        with self._lock:
            watched: dict[str, list[Callable[[], SinkState]]] = {}
            for each in self._watched.values():
                watched.setdefault(each.label, []).append(each.state)
            counted = {label: total.counts.copy() for label, total in self._totals.items()}
            failed = {label: total.errors.copy() for label, total in self._totals.items()}
        numbers = {label: _ask(watched.get(label, ())) for label in counted}
        for which, number in _FIELDS:
            family = CounterMetricFamily if which.kind == "counter" else GaugeMetricFamily
            made = family(which.name, which.help, labels=which.labels)
            for label, states in numbers.items():
                before = counted[label] if which.kind == "counter" else Counter[str]()
                if states or before:
                    now = sum(float(number(state)) for state in states)
                    made.add_metric([label], before[which.name] + now)
            yield made
        yield _errors(
            names.SINK_ERRORS,
            {
                (label,): [failed[label], *(_of(state) for state in states)]
                for label, states in numbers.items()
            },
        )
        yield _errors(names.WORKER_ERRORS, {(): [each() for each in tuple(self._errors)]})
        undelivered = sum(each() for each in tuple(self._waiting))
        yield GaugeMetricFamily(names.UNDELIVERED.name, names.UNDELIVERED.help, undelivered)

    def describe(self) -> Iterator[Metric]:
        """Names only, without asking anybody."""
        for which in COLLECTED:
            family = CounterMetricFamily if which.kind == "counter" else GaugeMetricFamily
            yield family(which.name, which.help, labels=which.labels)

    def _settle(self, place: tuple[str, str]) -> None:
        """Adds what a sink has counted to what stays, under the lock."""
        gone = self._watched.pop(place, None)
        if gone is not None:
            for state in _ask([gone.state]):
                self._totals[gone.label].add(state)


def _of(state: SinkState) -> Mapping[ErrorKind, int]:
    """Sinks of other kinds know no brokers."""
    return state.errors if isinstance(state, Troubled) else {}


def _errors(
    which: Definition, found: Mapping[tuple[str, ...], Sequence[Mapping[ErrorKind, int]]]
) -> Metric:
    made = CounterMetricFamily(which.name, which.help, labels=which.labels)
    for labels, counts in found.items():
        for kind in names.BROKER_ERRORS:
            made.add_metric([*labels, kind], float(sum(each.get(kind, 0) for each in counts)))
    return made


def _ask(states: Sequence[Callable[[], SinkState]]) -> list[SinkState]:
    """The numbers of those that answer: one that just closed must not hide all other metrics."""
    answers = []
    for state in states:
        try:
            answers.append(state())
        except (StreamerError, OSError, RuntimeError):
            continue
    return answers
