"""Whether brokers gather records: aiokafka has to have taken what Faust has no setting for."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import faust

from streamer.config.sections import FleetSection, KafkaSection
from streamer.connectors.kafka.address import KafkaAddress
from streamer.fleet.app import make_app
from tests.kafka import PATIENCE, Broker

WAIT, PACE = 1.0, 0.1


async def times(app: faust.App, topic: str, broker: Broker, count: int) -> list[float]:
    """When records arrived that were sent one after the other."""
    found: list[float] = []
    all_there = asyncio.Event()
    ready = asyncio.Event()

    async def take(stream: faust.types.StreamT[bytes]) -> None:
        async for _ in stream:
            found.append(time.monotonic())
            if len(found) == count:
                all_there.set()

    async def owned(*_: Any, **__: Any) -> None:
        ready.set()

    app.on_rebalance_complete.connect(owned)
    app.agent(app.topic(topic, key_type=bytes, value_type=bytes), name="take")(take)
    await app.start()
    try:
        await asyncio.wait_for(ready.wait(), PATIENCE)
        producer = broker.producer()
        for number in range(count):
            producer.produce(topic, b"value", str(number))
            assert producer.flush(PATIENCE) == 0
            await asyncio.sleep(PACE)
        await asyncio.wait_for(all_there.wait(), PATIENCE)
    finally:
        await app.stop()
    return found


def test_records_are_gathered(broker: Broker, tmp_path: Path) -> None:
    topic = broker.topic()
    address = KafkaAddress.parse(f"kafka://{broker.address}/{topic}")
    fleet = FleetSection(partitions=1, batch_wait=WAIT)
    app = make_app(f"gather-{topic}", address, KafkaSection(), fleet, tmp_path)
    found = asyncio.run(times(app, topic, broker, 8))
    # One fetch may end among them, as they take less long than it waits; the rest is for a machine
    # that stands still. Not gathered, every record comes by itself.
    pauses = [later - sooner for sooner, later in pairwise(found)]
    assert sum(pause > PACE / 2 for pause in pauses) <= 3
