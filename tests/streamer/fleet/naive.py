"""A worker as Faust's manual would have it: an agent, a table, awaited sends, at least once.

Usage: ``naive.py BROKER GROUP SOURCE SINK FOLDER PARTITIONS SESSION``
"""

from __future__ import annotations

import sys

import faust

broker, group, source, sink, folder, partitions, session = sys.argv[1:]
app = faust.App(
    group,
    broker=f"kafka://{broker}",
    store="memory://",
    datadir=folder,
    topic_disable_leader=True,
    topic_partitions=int(partitions),
    topic_replication_factor=1,
    broker_commit_interval=0.05,
    broker_session_timeout=float(session),
    broker_heartbeat_interval=float(session) / 4,
    processing_guarantee="at_least_once",
    key_serializer="raw",
    value_serializer="raw",
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
)
records = app.topic(source, key_type=bytes, value_type=bytes)
results = app.topic(sink, key_type=bytes, value_type=bytes)
window = app.Table("window", partitions=int(partitions), key_type=bytes, value_type=bytes)


@app.agent(records)
async def work(stream: faust.types.StreamT[bytes]) -> None:
    async for event in stream.events():
        window[event.key] = event.value
        await (await results.send(key=event.key, value=event.value))


if __name__ == "__main__":
    faust.Worker(app, loglevel="ERROR").execute_from_commandline()
