"""What a run that was cut off left behind can be listed and sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamer.cli.app import run
from streamer.config.sections import KafkaSection
from streamer.connectors.kafka.address import KafkaAddress
from streamer.connectors.sinks.kafka import spool_path
from streamer.connectors.sinks.spool import Spool
from streamer.events.cloudevent import to_line
from tests.connectors.sinks.test_kafka import events, ids, received
from tests.kafka import Broker, free_port


def leave(url: str, folder: Path, stream: str) -> Spool:
    section = KafkaSection(spool=folder)
    spool = Spool(spool_path(KafkaAddress.parse(url), stream, section), section.spool_bytes)
    spool.open(url, stream)
    for event in events(3, stream=stream):
        spool.put(to_line(event))
    return spool


def test_listed_and_sent(
    broker: Broker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STREAMER__KAFKA__SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("COLUMNS", "250")
    topic = broker.topic()
    url = f"kafka://{broker.address}/{topic}"
    leave(url, tmp_path / "spool", "film").close()
    busy = leave(url, tmp_path / "spool", "running")
    assert run(["spool", "list"]) == 0
    listed = capfd.readouterr().out
    assert "in use" in listed
    (row,) = (line for line in listed.splitlines() if "film" in line)
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    size = sum(len(to_line(event)) for event in events(3, stream="film"))
    assert cells[:5] == ["film", url, "3", str(size), "0"]
    assert run(["spool", "send"]) == 0
    assert f"film: 3 events sent to {url}" in capfd.readouterr().err
    assert received(broker.read(topic, 3)) == ids(events(3, stream="film"))
    assert busy.state.events == 3
    busy.close()
    assert run(["spool", "send"]) == 0
    assert len(broker.read(topic, 6)) == 6


def test_what_cannot_be_sent_keeps_nothing_else_waiting(
    broker: Broker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    spool = tmp_path / "spool"
    monkeypatch.setenv("STREAMER__KAFKA__SPOOL", str(spool))
    monkeypatch.setenv("STREAMER__KAFKA__CONNECT_SECONDS", "1")
    monkeypatch.setenv("COLUMNS", "250")
    topic = broker.topic()
    away = f"kafka://127.0.0.1:{free_port()}/{topic}"
    leave(away, spool, "a-stranded").close()
    leave(f"kafka://{broker.address}/{topic}", spool, "b-film").close()
    # Cut off before there was anything in it, and damaged.
    (spool / "a-empty.spool").touch()
    (spool / "a-damaged.spool").write_bytes(b"no spool at all" * 100)
    assert run(["spool", "list"]) == 50
    listed = capfd.readouterr()
    assert "a-stranded" in listed.out
    assert "b-film" in listed.out
    assert "a-damaged.spool: cannot be read" in listed.err
    assert run(["spool", "send"]) == 50
    said = capfd.readouterr().err
    assert "a-damaged.spool: cannot be read" in said
    assert f"a-stranded: {away}" in said
    assert "b-film: 3 events sent" in said
    assert received(broker.read(topic, 3)) == ids(events(3, stream="b-film"))


def test_nothing_there_is_nothing_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMER__KAFKA__SPOOL", str(tmp_path / "none"))
    assert run(["spool", "send"]) == 0
    assert run(["spool", "list"]) == 0
    assert capfd.readouterr().err == ""


def test_a_spool_of_a_broker_that_never_was_can_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "spool"
    monkeypatch.setenv("STREAMER__KAFKA__SPOOL", str(folder))
    url = f"kafka://127.0.0.1:{free_port()}/scenes"
    full = leave(url, folder, "full")
    full.close()
    busy = leave(url, folder, "busy")
    section = KafkaSection(spool=folder)
    empty = Spool(spool_path(KafkaAddress.parse(url), "empty", section), section.spool_bytes)
    empty.open(url, "empty")
    empty.close()
    (folder / "broken.spool").write_bytes(b"no database" * 100)
    for words, code, says in (
        ([empty.path.name], 0, ""),
        ([empty.path.name], 50, "there is no such spool"),
        ([full.path.name], 50, "holds 3 events"),
        (["--force", busy.path.name], 50, "in use"),
        (["--force", full.path.name], 0, ""),
        (["broken.spool"], 50, "cannot be read"),
        (["--force", "broken.spool"], 0, ""),
        (["../../etc/passwd"], 50, "there is no such spool"),
    ):
        assert run(["spool", "remove", *words]) == code
        error = capfd.readouterr().err
        assert says in error
        assert error.count("\n") == (code != 0)
    assert sorted(path.name for path in folder.glob("*.spool")) == [busy.path.name]
    busy.close()
