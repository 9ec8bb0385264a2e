"""deploy/compose.yaml without Docker: the image's own start-up, from the same release."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from tests.kafka import PATIENCE, ROOT, free_port, silent

COMPOSE = ROOT / "deploy" / "compose.yaml"
JVM = ("java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
HOST_PORT = 9092

Tree = dict[str, "Tree | str"]


def read(text: str) -> Tree:
    """The part of YAML that the file uses: nested mappings of plain and quoted words."""
    top: Tree = {}
    path: list[tuple[int, Tree]] = [(-1, top)]
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = re.fullmatch(r"( *)([A-Za-z_]+):(?: (.*))?", line)
        assert found is not None, line
        depth, key, value = len(found[1]), found[2], found[3]
        while path[-1][0] >= depth:
            path.pop()
        within = path[-1][1]
        assert key not in within
        if value is None:
            within[key] = fresh = Tree()
            path.append((depth, fresh))
        else:
            within[key] = value.strip('"')
    return top


def service() -> Tree:
    services = read(COMPOSE.read_text("utf-8"))["services"]
    assert isinstance(services, dict)
    kafka = services["kafka"]
    assert isinstance(kafka, dict)
    return kafka


def environment() -> dict[str, str]:
    found = service()["environment"]
    assert isinstance(found, dict)
    return {key: str(value) for key, value in found.items()}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, dict[str, str]]]:
    """A broker as the image starts it, at other ports; its port, and its properties."""
    folder = tmp_path_factory.mktemp("compose")
    folders = [folder / name for name in ("default", "mounted", "final")]
    for each in folders:
        each.mkdir()
    for name in ("server.properties", "log4j2.yaml", "tools-log4j2.yaml"):
        (folders[0] / name).write_text("")
    known = environment()
    text = "\n".join(f"{key}={value}" for key, value in known.items())
    ports = {number: free_port() for number in sorted(set(re.findall(r":(\d{4,5})\b", text)))}
    for number, port in ports.items():
        text = re.sub(rf":{number}\b", f":{port}", text)
    text = text.replace("://:", "://127.0.0.1:").replace("//kafka:", "//localhost:")
    variables = dict(line.split("=", 1) for line in text.splitlines())
    variables |= {"KAFKA_LOG_DIRS": str(folder / "data"), "CLUSTER_ID": "4L6g3nShT-eMCtK--X86sw"}
    jars = f"{Path(os.environ.get('STREAMER_HOME', ROOT / '.cache')) / 'kafka'}/*/*"
    classes = ":".join({str(path.parent / "*") for path in Path("/").glob(f"{jars[1:]}.jar")})
    command = [*JVM, "-cp", classes, "kafka.docker.KafkaDockerWrapper", "setup"]
    for option, each in zip(("-D", "-M", "-F"), folders, strict=True):
        command += [option, str(each)]
    done = subprocess.run(
        command,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    file = folders[2] / "server.properties"
    lines = [line for line in file.read_text().splitlines() if "=" in line]
    with (folder / "log").open("wb") as log:
        broker = subprocess.Popen(
            [*JVM, "-cp", classes, "kafka.Kafka", str(file)], stdout=log, stderr=log
        )
        try:
            yield ports[str(HOST_PORT)], dict(line.split("=", 1) for line in lines)
        finally:
            broker.kill()
            broker.wait(PATIENCE)


def test_every_variable_is_a_property_that_the_broker_knows_and_has(
    started: tuple[int, dict[str, str]],
) -> None:
    port, properties = started
    names = {
        key.removeprefix("KAFKA_").lower().replace("_", ".")
        for key in environment()
        if key != "KAFKA_HEAP_OPTS"
    }
    assert names <= properties.keys()
    admin = AdminClient({"bootstrap.servers": f"localhost:{port}"}, logger=silent())
    # It may take its time to begin.
    assert list(admin.list_topics(timeout=2 * PATIENCE).brokers) == [1]
    resource = ConfigResource(ResourceType.BROKER, "1")
    known = admin.describe_configs([resource])[resource].result(PATIENCE)
    assert names <= known.keys()
    for name in names - {"node.id"}:
        assert known[name].value == properties[name], name
    assert known["auto.create.topics.enable"].value == "false"


def test_the_ports_and_the_health_check() -> None:
    variables = environment()
    assert service()["ports"] == f'["127.0.0.1:{HOST_PORT}:{HOST_PORT}"]'
    assert f"HOST://:{HOST_PORT}" in variables["KAFKA_LISTENERS"]
    assert f"HOST://localhost:{HOST_PORT}" in variables["KAFKA_ADVERTISED_LISTENERS"]
    assert f"kafka://localhost:{HOST_PORT}/" in (ROOT / "docs" / "kafka.md").read_text("utf-8")
    check = service()["healthcheck"]
    assert isinstance(check, dict)
    program, option, address, wanted = re.findall(r"[^\s,\[\]\"]+", str(check["test"]))[1:]
    # Where the image unpacks the release, and what the release calls it.
    assert (program, option, wanted) == (
        "/opt/kafka/bin/kafka-topics.sh",
        "--bootstrap-server",
        "--list",
    )
    assert f"INSIDE://:{address.partition(':')[2]}" in variables["KAFKA_LISTENERS"]
    volumes = service()["volumes"]
    assert volumes == f'["kafka:{variables["KAFKA_LOG_DIRS"]}"]'
