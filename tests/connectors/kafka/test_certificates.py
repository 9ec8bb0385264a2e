"""A broker that wants client certificates: the right one works, any other is one clear line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from streamer.cli.app import run
from streamer.config.sections import KafkaSection
from streamer.connectors.sinks.registry import open_sink
from streamer.plugins import SinkContext
from tests.connectors.kafka.conftest import Config, Settings
from tests.connectors.kafka.refusal import refused
from tests.connectors.kafka.secured import KEY_PASSWORD, Secured
from tests.connectors.sinks.test_kafka import STREAM, events, ids

UNFIT = "kafka.key_file cannot be used: "


def test_the_right_one_sends_and_consumes(
    secured: Secured,
    trusted: Settings,
    config: Config,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    topic = secured.topic()
    secured.allow(f"WRITE topic {topic}", f"READ topic {topic}", listener="mutual")
    secured.allow(f"READ group of-{topic}", listener="mutual")
    url = f"kafkas://{secured.mutual}/{topic}"
    section = KafkaSection.model_validate({"spool": tmp_path / "spool"} | trusted)
    sink = open_sink(url, SinkContext(STREAM, {"kafka": section}))
    sink.add(events(1)[0])
    sink.flush()
    sink.close()
    options = ("--group", f"of-{topic}", "--max", "1", "--config", config(**trusted))
    assert run(["consume", "--from", url, *options]) == 0
    assert json.loads(capfd.readouterr().out)["id"] == ids(events(1))[0]


@pytest.mark.parametrize("command", ["tail", "consume", "worker"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"certificate_file": None, "key_file": None, "key_password": None},
            r"the broker wants a client's certificate \(\[kafka\] certificate_file, key_file\): ",
        ),
        (
            {"certificate_file": "STRANGER", "key_file": "STRANGER", "key_password": None},
            "the broker refuses this client's certificate: .*alert",
        ),
        ({"key_password": "wrong"}, UNFIT + ".* kafka.key_password is not its password"),
        ({"key_file": "STRANGER", "key_password": None}, UNFIT + "it is no key, not the cert"),
        ({"key_file": "/none.key"}, UNFIT + "it cannot be read"),
        ({"ca_file": None}, "no TLS connection: .*certificate verify failed"),
    ],
    ids=["none", "stranger", "password", "another key", "no file", "unknown broker"],
)
def test_any_other_is_refused_in_one_line(
    secured: Secured,
    trusted: Settings,
    config: Config,
    film: str,
    capfd: pytest.CaptureFixture[str],
    command: str,
    changes: dict[str, str | None],
    words: str,
) -> None:
    stranger = dict(zip(("certificate_file", "key_file"), secured.stranger, strict=True))
    known = {key: stranger[key] if value == "STRANGER" else value for key, value in changes.items()}
    settings = {key: value for key, value in (trusted | known).items() if value is not None}
    url = f"kafkas://{secured.mutual}"
    code, errors = refused(command, url, "scenes", config(**settings), film, capfd)
    assert code == 50
    assert re.search(words, errors), errors
    assert KEY_PASSWORD not in errors
