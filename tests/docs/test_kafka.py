"""The consumers in docs/kafka.md run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from streamer.config.sections import KafkaSection
from streamer.connectors.sinks.registry import open_sink
from streamer.plugins import SinkContext
from tests.connectors.sinks.test_kafka import STREAM, events
from tests.kafka import ROOT, Broker

TEXT = (ROOT / "docs" / "kafka.md").read_text("utf-8")
CONSUMERS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("program", CONSUMERS, ids=["confluent-kafka", "aiokafka"])
def test_the_consumers(program: str, broker: Broker, tmp_path: Path) -> None:
    assert len([line for line in program.splitlines() if line]) <= 14
    topic = broker.topic()
    sink = open_sink(
        f"kafka://{broker.address}/{topic}",
        SinkContext(STREAM, {"kafka": KafkaSection(spool=tmp_path)}),
    )
    sent = events(3)
    for event in sent:
        sink.add(event)
    sink.flush()
    sink.close()
    for text, own in (
        ("localhost:9092", broker.address),
        ("scenes.boundaries", topic),
        ("chapters", f"of-{topic}"),
    ):
        assert text in program
        program = program.replace(text, own)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        printed = [child.stdout.readline().decode().split() for _ in sent]
        child.kill()
    assert [words[0] for words in printed] == [event.get_id() for event in sent]
    assert all(len(words) == 3 for words in printed)


def test_one_version_of_the_broker() -> None:
    pom = ElementTree.parse(ROOT / "deploy" / "kafka" / "pom.xml")
    space = "{http://maven.apache.org/POM/4.0.0}"
    version = next(
        dependency.findtext(f"{space}version")
        for dependency in pom.iter(f"{space}dependency")
        if dependency.findtext(f"{space}artifactId") == "kafka_2.13"
    )
    compose = (ROOT / "deploy" / "compose.yaml").read_text("utf-8")
    assert f"image: apache/kafka:{version}\n" in compose
    assert f"{version}, one node" in TEXT.replace("\n", " ")


@pytest.mark.parametrize("name", ["confluent-kafka", "aiokafka"])
def test_the_versions_of_the_clients(name: str) -> None:
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if "==" in line
    )
    assert f"{name} {pins[name]}" in TEXT.replace("\n", " ")
