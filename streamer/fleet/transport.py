"""Faust's Kafka driver, with fetches that the brokers answer in batches.

A fetch for every record costs a worker as much as the record itself. Faust has no setting for it,
and aiokafka none that can change: an idle worker should not ask fifty times a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

from faust.transport.drivers import aiokafka as driver

if TYPE_CHECKING:
    from collections.abc import Mapping

    import faust
    from aiokafka import AIOKafkaConsumer
    from yarl import URL

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
