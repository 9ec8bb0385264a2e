"""Runs a program under a Faust that loses some records, as the real one does after a recovery.

What is lost is what traces of the real loss show: records that were fetched are never delivered,
and delivery goes on behind them. Usage: ``lossy.py TOPIC FIRST STOP PROGRAM WORDS…``
"""

from __future__ import annotations

import runpy
import sys
from typing import Any

from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

topic, first, stop = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
delivered = AIOKafkaConsumerThread.getmany


async def getmany(self: Any, *arguments: Any, **named: Any) -> Any:
    found = await delivered(self, *arguments, **named)
    return {
        place: [each for each in records if place.topic != topic or not first <= each.offset < stop]
        for place, records in found.items()
    }


# The loss goes into a class of Faust's, which is not made for it.
AIOKafkaConsumerThread.getmany = getmany  # type: ignore[method-assign]
sys.argv = sys.argv[4:]
if sys.argv[0] == "streamer":
    runpy.run_module("streamer", run_name="__main__")
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
