"""Every metric there is: name, kind, labels and meaning, in one table.

Names carry one prefix and base units (Prometheus conventions). Labels are few-valued: the
configured name of a stream, never an address.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, get_args

from prometheus_client import Counter, Gauge, Histogram

from streamer.errors import ErrorKind

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics import MetricWrapperBase

Kind = Literal["counter", "gauge", "histogram", "info"]

BROKER_ERRORS: Final[tuple[ErrorKind, ...]] = get_args(ErrorKind)
"""Kinds of errors that brokers report."""

HTTP_REFUSALS: Final = (
    "malformed",
    "no_token",
    "wrong_token",
    "body_size",
    "body_slow",
    "busy",
    "crowded",
)
"""Why a request or connection was refused, in few words."""

_LATENCY: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_WAITS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_ROWS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric.

    Attributes:
        name: As exposed, with ``_total`` for counters.
        kind: What Prometheus calls its type.
        help: One sentence.
        labels: Their names.
        buckets: Upper bounds; histograms only.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_STREAM: Final = ("stream",)
_PARTITION: Final = ("topic", "partition")

BUILD: Final = Definition("streamer_build_info", "info", "Version of the program.", ("version",))
STREAMS: Final = Definition("streamer_streams", "gauge", "Streams that have metrics.")
ERRORS: Final = Definition(
    "streamer_errors_total", "counter", "Errors by their class in the error tree.", ("error",)
)
HTTP_REFUSED: Final = Definition(
    "streamer_http_refused_total",
    "counter",
    "Requests refused and connections closed before their request was answered, by reason.",
    ("reason",),
)
UP: Final = Definition(
    "streamer_stream_up", "gauge", "1 while the stream's input is open and read, else 0.", _STREAM
)
EPOCH: Final = Definition("streamer_stream_epoch", "gauge", "Epoch of the stream.", _STREAM)
SHOTS: Final = Definition("streamer_shots_total", "counter", "Shots closed.", _STREAM)
SCENES: Final = Definition("streamer_scenes_total", "counter", "Scenes completed.", _STREAM)
BOUNDARIES: Final = Definition(
    "streamer_boundaries_total", "counter", "Scene boundaries reported.", _STREAM
)
MEDIA: Final = Definition(
    "streamer_media_seconds_total", "counter", "Seconds of input that were processed.", _STREAM
)
REALTIME: Final = Definition(
    "streamer_realtime_ratio",
    "gauge",
    "Seconds of input processed in a wall second, over the last half minute.",
    _STREAM,
)
LAG: Final = Definition(
    "streamer_lag_seconds",
    "gauge",
    "How far processing is behind a live or paced input; 0 for files.",
    _STREAM,
)
DRIFT: Final = Definition(
    "streamer_drift_seconds",
    "gauge",
    "Media time run ahead of the arrival clock since the epoch began; negative: behind.",
    _STREAM,
)
DISCONTINUITIES: Final = Definition(
    "streamer_discontinuities_total",
    "counter",
    "Places where input is missing or its clock jumped, by reason.",
    ("stream", "reason"),
)
RECONNECTIONS: Final = Definition(
    "streamer_reconnections_total", "counter", "Times the source was lost and tried again.", _STREAM
)
STAGE: Final = Definition(
    "streamer_stage_seconds_total",
    "counter",
    "Wall seconds in source, shots, aspects, segment and sinks; CPU seconds of the decoder.",
    ("stream", "stage"),
)
LATENCY: Final = Definition(
    "streamer_event_latency_seconds",
    "histogram",
    "From the end of the shot an event waited for until the event left.",
    (),
    _LATENCY,
)
THINNING: Final = Definition(
    "streamer_thinning_level", "gauge", "How far aspects are thinned; 0 is full quality.", _STREAM
)
SKIPPED: Final = Definition(
    "streamer_skipped_pieces_total",
    "counter",
    "Key frames, clips and windows left out by thinning.",
    ("stream", "aspect"),
)
FAULTS: Final = Definition(
    "streamer_decode_faults_total",
    "counter",
    "Packets not decoded, pictures with concealed errors, frames dropped for their time.",
    ("stream", "fault"),
)
LOST_SOUND: Final = Definition(
    "streamer_lost_sound_seconds_total",
    "counter",
    "Seconds of sound given up because no picture said in time where they belong.",
    _STREAM,
)
BATCH_ROWS: Final = Definition(
    "streamer_batch_rows", "histogram", "Pieces embedded in one pass.", ("aspect",), _ROWS
)
BATCH_WAIT: Final = Definition(
    "streamer_batch_wait_seconds",
    "histogram",
    "How long pieces waited before they were embedded.",
    ("aspect",),
    _WAITS,
)
SPOOL_BYTES: Final = Definition(
    "streamer_spool_bytes", "gauge", "Bytes of events that wait on disk.", _STREAM
)
SPOOL_EVENTS: Final = Definition(
    "streamer_spool_events", "gauge", "Events that wait on disk.", _STREAM
)
SPOOL_DROPPED: Final = Definition(
    "streamer_spool_dropped_total", "counter", "Events dropped because the spool was full.", _STREAM
)
SINK_DELIVERED: Final = Definition(
    "streamer_sink_delivered_total", "counter", "Events acknowledged by every broker.", _STREAM
)
SINK_REFUSED: Final = Definition(
    "streamer_sink_refused_total",
    "counter",
    "Events that are damaged or that no broker takes, kept apart.",
    _STREAM,
)
SINK_STALLED: Final = Definition(
    "streamer_sink_stalled", "gauge", "1 while events wait and none is taken, else 0.", _STREAM
)
SINK_ERRORS: Final = Definition(
    "streamer_sink_errors_total",
    "counter",
    "What a sink's brokers refused or failed at, by kind.",
    ("stream", "error"),
)
WORKER_ERRORS: Final = Definition(
    "streamer_worker_errors_total",
    "counter",
    "What a worker's brokers refused or failed at, by kind.",
    ("error",),
)
UNDELIVERED: Final = Definition(
    "streamer_undelivered_records", "gauge", "Results of a worker that no broker has yet."
)
RECORDS: Final = Definition(
    "streamer_consumer_records_total", "counter", "Records consumed from Kafka.", ("topic",)
)
LAG_RECORDS: Final = Definition(
    "streamer_consumer_lag_records",
    "gauge",
    "Records between the end of a partition and what was consumed of it.",
    _PARTITION,
)
LAG_SECONDS: Final = Definition(
    "streamer_consumer_lag_seconds",
    "gauge",
    "Age of the record consumed last, 0 at the end of the partition.",
    _PARTITION,
)
REPEATS: Final = Definition(
    "streamer_repeated_records_total", "counter", "Records seen before and ignored.", ("topic",)
)
DEAD_LETTERS: Final = Definition(
    "streamer_dead_letters_total",
    "counter",
    "Records put aside as unreadable, by reason.",
    ("reason",),
)
REBALANCES: Final = Definition(
    "streamer_rebalances_total", "counter", "Times the group shared out its partitions anew."
)
PARTITIONS: Final = Definition(
    "streamer_assigned_partitions", "gauge", "Partitions this worker owns.", ("topic",)
)
REBUILDS: Final = Definition(
    "streamer_window_rebuilds_total",
    "counter",
    "Windows of shots rebuilt from the log of shots, by reason.",
    ("reason",),
)

CATALOGUE: Final = tuple(value for value in tuple(vars().values()) if isinstance(value, Definition))


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
