"""A worker at a broker that asks for certificates and rights, Faust's half included."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from streamer.config.sections import KafkaSection
from streamer.connectors.kafka.address import KafkaAddress
from streamer.fleet.log import ShotLog
from streamer.models.checkpoint import save_moae
from tests.connectors.kafka.conftest import Config, Settings
from tests.connectors.kafka.refusal import refused
from tests.connectors.kafka.secured import Secured
from tests.kafka import PATIENCE, Broker
from tests.models.toy import toy_model
from tests.streamer.fleet.conftest import PARTITIONS, WAIT, Fleet, Worker
from tests.streamer.fleet.shots import records
from tests.waiting import until


class SecuredFleet(Fleet):
    """Its topics are made by somebody who may; its workers come with a certificate."""

    def __init__(
        self, secured: Secured, folder: Path, checkpoint: Path, settings: Settings
    ) -> None:
        super().__init__(cast("Broker", secured), folder, checkpoint)
        self.secured, self._more = secured, settings

    def config(self, **changes: str) -> Path:
        path = super().config(**changes)
        text = path.read_text().replace(
            f"kafka://{self.secured.address}", f"kafkas://{self.secured.mutual}"
        )
        lines = "".join(f'{key} = "{value}"\n' for key, value in self._more.items())
        path.write_text(text.replace("[kafka]\n", f"[kafka]\n{lines}"))
        return path


@pytest.fixture
def fleet(secured: Secured, tmp_path: Path, trusted: Settings) -> Iterator[SecuredFleet]:
    checkpoint = tmp_path / "toy.safetensors"
    save_moae(toy_model(), checkpoint)
    folder = tmp_path / "fleet"
    folder.mkdir()
    started = SecuredFleet(secured, folder, checkpoint, trusted)
    yield started
    started.close()


def test_a_certificate_and_rights_to_topics_that_are_there_are_enough(
    fleet: SecuredFleet, secured: Secured
) -> None:
    """No CREATE; and a right that is withdrawn ends the worker, which loses nothing."""
    prefix = fleet.prefix
    rights = (f"READ topic {prefix}*", f"READ group {prefix}*")
    writes = [
        f"WRITE topic {name}"
        for name in (fleet.topics.shots, fleet.topics.windows, fleet.topics.dead_letters)
    ]
    decisive = f"WRITE topic {fleet.topics.boundaries}"
    secured.allow(*rights, *writes, decisive, listener="mutual")
    sent = [records(f"s{number}", 10 * number, 8, epochs=2) for number in range(4)]
    wanted = fleet.wanted(sent)
    first = fleet.worker(only=None)
    ready(first)
    # Whoever joins with another checkpoint knows at once, before there is any shot.
    log = ShotLog(
        KafkaAddress.parse(f"kafka://{secured.address}/{fleet.topics.shots}"),
        KafkaSection(),
        fleet.topics.positions_group,
    )
    notes = log.positions([*range(PARTITIONS)])
    log.close()
    assert [at for at, _ in notes.values()] == [0] * PARTITIONS
    assert {len(note) for _, note in notes.values()} == {16}
    fleet.produce([record for stream in sent for record in stream[:5]])
    assert len(set(fleet.ids(4 * 5))) >= 4 * 5
    secured.forbid(decisive, listener="mutual")
    fleet.produce([record for stream in sent for record in stream[5:]])
    assert first.child.wait(PATIENCE) == 55
    last = first.errors.splitlines()[-1].removeprefix("error: ")
    # Of a record under way, or of the next one.
    assert last.removeprefix("the brokers refuse a record: ") == (
        f"the login may not use topic {fleet.topics.boundaries}: it needs WRITE there"
    )
    assert "Traceback" not in first.errors
    secured.allow(decisive, listener="mutual")
    second = fleet.worker()
    assert set(fleet.ids(len(wanted))) == wanted
    assert second.stop() == 0
    assert "error" not in second.errors


def ready(worker: Worker) -> None:
    """Waits until every half has its partitions, each of which is a check of its own."""
    url = f"http://127.0.0.1:{worker.port}/readyz"

    def says_so() -> bool:
        assert worker.child.poll() is None, worker.errors
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                assert json.load(answer)["checks"].keys() == {"ingest", "segment"}
                return True
        except urllib.error.URLError:
            return False

    until(says_so, "a worker that is ready", seconds=WAIT)


def test_a_worker_that_may_not_make_topics_or_use_them(
    secured: Secured,
    account: Settings,
    config: Config,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prefix = f"p{uuid.uuid4().hex[:8]}"
    for key in ("PREFIX", "GROUP"):
        monkeypatch.setenv(f"STREAMER__FLEET__{key}", prefix)
    monkeypatch.setenv("STREAMER__FLEET__PARTITIONS", "1")
    words = ("worker", f"kafka://{secured.login}", "", config(**account), "", capfd)
    code, errors = refused(*words)
    assert code == 55
    assert errors.count("\n") == 1
    assert (
        f"topic {prefix}.streams is not there, as far as the login may see, and may not be made "
        "by it: make the topic before, or give the login CREATE"
    ) in errors
    secured.make(
        *(f"{prefix}.{name}" for name in ("streams", "shots", "boundaries", "dead-letters")),
        f"{prefix}.segment-windows-changelog",
    )
    secured.allow(f"DESCRIBE topic {prefix}*", f"READ topic {prefix}.streams")
    code, errors = refused(*words)
    assert code == 55
    assert {line.removeprefix("error: ") for line in errors.strip().split("; ")} == {
        f"the login may not use {what} there"
        for what in (
            f"topic {prefix}.shots: it needs READ and WRITE",
            f"topic {prefix}.boundaries: it needs WRITE",
            f"topic {prefix}.dead-letters: it needs WRITE",
            f"topic {prefix}.segment-windows-changelog: it needs READ and WRITE",
            f"group {prefix}.ingest: it needs READ",
            f"group {prefix}.segment: it needs READ",
            f"group {prefix}.positions: it needs READ",
        )
    }
