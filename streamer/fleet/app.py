"""Make the Faust application of a worker, and adapt Faust where it does not fit."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn, cast

import faust
from aiokafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError
from faust.transport.drivers import aiokafka as driver
from yarl import URL

from streamer.connectors.kafka.acl import acl_error
from streamer.connectors.kafka.address import KafkaAddress
from streamer.errors import ConfigError, FleetError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from aiokafka import AIOKafkaConsumer

    from streamer.config.sections import FleetSection, KafkaSection

_BUFFER: Final = 512
_REQUEST_BYTES: Final = 32 << 20
_HEARTBEATS: Final = 4.0
_REBALANCE_SECONDS: Final = 60.0


def make_app(
    group: str, address: KafkaAddress, section: KafkaSection, fleet: FleetSection, data: Path
) -> faust.App:
    """Builds an application that decides nothing by itself.

    It makes no topics, keeps tables in memory, and delivers at least once as far as it can;
    what it may lose all the same is found by `streamer.fleet.partition`.

    Args:
        group: Consumer group.
        address: Any topic of the cluster.
        section: TLS, login and the session's length.
        fleet: How many partitions tables' changelogs have, and how long records are gathered.
        data: A folder for the few files that Faust wants.

    Raises:
        ConfigError: A certificate's file cannot be used.
    """
    request = max(90.0, 2 * section.session_seconds)
    urls = [URL(f"kafka://{server}") for server in address.servers]
    app = faust.App(
        group,
        broker=urls,
        broker_credentials=_credentials(address, section),
        broker_session_timeout=section.session_seconds,
        broker_heartbeat_interval=section.session_seconds / _HEARTBEATS,
        broker_rebalance_timeout=_REBALANCE_SECONDS,
        broker_request_timeout=request,
        broker_commit_interval=1.0,
        consumer_auto_offset_reset="earliest",
        processing_guarantee="at_least_once",
        key_serializer="raw",
        value_serializer="raw",
        producer_acks=-1,
        producer_max_request_size=_REQUEST_BYTES,
        store=URL("memory://"),
        datadir=data,
        stream_buffer_maxsize=_BUFFER,
        stream_wait_empty=False,
        table_standby_replicas=0,
        topic_partitions=fleet.partitions,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
    )
    app.transport = BatchingTransport(urls, app, fleet.batch_wait)
    return app


async def take_part(app: faust.App) -> NoReturn:
    """Runs an application; to be watched from beside, since starting waits for tables to be read.

    Raises:
        FleetError: It stopped by itself.
    """
    await app.start()
    await app.wait_until_stopped()
    raise crash(app)


async def leave(app: faust.App, seconds: float, warn: Callable[[str], None]) -> None:
    """Stops an application and leaves its group; after so long it is left to itself.

    In the midst of a recovery it does not stop, nor can its stopping be cancelled.

    Args:
        app: What to stop.
        seconds: To wait.
        warn: Takes one line for people.
    """
    stopping = asyncio.create_task(app.stop())
    done, _ = await asyncio.wait({stopping}, timeout=seconds)
    if not done:
        warn("the group was not left in time")


def crash(app: faust.App) -> FleetError:
    """Why an application stopped by itself, in words."""
    reason = app.crash_reason
    named = ", ".join(sorted(_names(reason))) or "of the fleet"
    if isinstance(reason, GroupAuthorizationFailedError):
        return FleetError(acl_error("group", named, ("READ",)))
    if isinstance(reason, TopicAuthorizationFailedError):
        return FleetError(acl_error("topic", named, ("READ", "WRITE")))
    return FleetError(f"the group's client stopped: {reason!r}")


def _names(reason: BaseException | None) -> set[str]:
    """The topics or the group that an error of aiokafka is about."""
    found: set[str] = set()
    for each in () if reason is None else reason.args:
        found.update({each} if isinstance(each, str) else map(str, each))
    return found


def _credentials(address: KafkaAddress, section: KafkaSection) -> Any:
    context = _tls(section) if address.tls else None
    if section.sasl_mechanism is None:
        return None if context is None else faust.SSLCredentials(context)
    assert section.password is not None
    return faust.SASLCredentials(
        username=section.username,
        password=section.password.get_secret_value(),
        mechanism=section.sasl_mechanism,
        ssl_context=context,
    )


def _tls(section: KafkaSection) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(
            cafile=None if section.ca_file is None else str(section.ca_file)
        )
        context.check_hostname = section.verify_hostname
        if section.certificate_file is not None and section.key_file is not None:
            secret = section.key_password
            context.load_cert_chain(
                section.certificate_file,
                section.key_file,
                None if secret is None else secret.get_secret_value(),
            )
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"kafka: a certificate cannot be used: {error}") from error
    return context


_ENOUGH_BYTES: Final = 1 << 20
_LONG_POLL_MS: Final = 1500


class _Thread(driver.AIOKafkaConsumerThread):
    async def _fetch_records(
        self, consumer: AIOKafkaConsumer, *arguments: Any, **named: Any
    ) -> Mapping[Any, Any]:
        found = await super()._fetch_records(consumer, *arguments, **named)
        # Read for every fetch. Nothing for a second: the next record is wanted at once.
        fetcher = consumer._fetcher
        wait = round(1000 * cast("BatchingTransport", self.transport).batch_wait)
        gather = bool(found) and wait > 0
        _change(fetcher, "_fetch_min_bytes", _ENOUGH_BYTES if gather else 1)
        _change(fetcher, "_fetch_max_wait_ms", wait if gather else _LONG_POLL_MS)
        return found


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> _Thread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class BatchingTransport(driver.Transport):
    """Lets brokers gather records before they answer.

    Args:
        urls: Of the brokers.
        app: Whose transport it is.
        batch_wait: Seconds that a record may wait at a broker for others.
    """

    Consumer: ClassVar[Any] = _Consumer

    def __init__(self, urls: list[URL], app: faust.App, batch_wait: float) -> None:
        super().__init__(urls, app)
        self.batch_wait = batch_wait


def _change(fetcher: object, name: str, value: int) -> None:
    # A name that changed must not pass unnoticed.
    getattr(fetcher, name)
    setattr(fetcher, name, value)


_ENDLESS: Final = 10
"""Rebalances without end count as progress for so many times the patience."""


class Takeover:
    """Watches an application from when its partitions are in doubt until it works on them.

    Args:
        app: Of one half of a worker.
        seconds: Without any progress and without partitions.
        longest: Without any progress of a rebalance while there is work to go on with; brokers
            may be away.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        app: faust.App,
        seconds: float,
        longest: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._clock = app, clock
        self._seconds, self._longest = seconds, max(seconds, longest)
        self._mark: object = None
        self._moved = self._settled = clock()

    def check(self, *, owning: bool) -> None:
        """Looks; to be called about once a second.

        Args:
            owning: The half has been told which partitions are its own, and no other news since.

        Raises:
            FleetError: It hangs; the worker has to be started again.
        """
        now = self._clock()
        if owning and not self._app.rebalancing:
            self._settled = self._moved = now
            return
        mark = self._app.consumer_generation_id, self._app.rebalancing_count, self._recovered()
        if mark != self._mark:
            self._mark, self._moved = mark, now
        limit = self._longest if owning else self._seconds
        if now - self._moved > limit or now - self._settled > _ENDLESS * limit:
            raise FleetError(
                f"no partitions could be taken over in {now - self._settled:.0f} s; "
                "this worker has to be started again"
            )

    def _recovered(self) -> int:
        """How far tables have been read; Faust shows it in no interface of its own."""
        recovery: Any = getattr(self._app.tables, "recovery", None)
        return 0 if recovery is None else sum(at or 0 for at in recovery.active_offsets.values())
