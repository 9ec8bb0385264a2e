"""What happens to topics, brokers and machines under a fleet: no event lost, none foreign."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import NewPartitions

from streamer.cli.app import run
from streamer.config.sections import FleetSection, KafkaSection
from streamer.fleet.record import ShotRecord
from streamer.fleet.request import Register
from streamer.fleet.topics import TopicMaker
from streamer.models.checkpoint import DEFAULT_CHECKPOINT, save_moae
from streamer.models.weights.store import WeightStore
from tests.acceptance.films import RATE, pictures
from tests.acceptance.films import SHOTS as FILM_SHOTS
from tests.kafka import PATIENCE, Broker, free_port
from tests.media import Recipe, Tone, write_film
from tests.models.toy import toy_model
from tests.streamer.fleet.conftest import PARTITIONS, SESSION, WAIT, Fleet
from tests.streamer.fleet.test_fleet import RESTARTS, SHOTS, STREAMS, part, streams
from tests.waiting import until

CHECKPOINT = str(DEFAULT_CHECKPOINT)
SECONDS = FILM_SHOTS * 1.2
LINE = re.compile(r"(?:error|warning): \S.*")


def only_lines(errors: str) -> None:
    """Nothing of a library's own: no traceback, no log line."""
    assert [line for line in errors.splitlines() if not LINE.fullmatch(line)] == []


def sent_and_wanted(fleet: Fleet) -> tuple[list[list[ShotRecord]], set[str]]:
    sent = streams()
    return sent, fleet.wanted(sent)


def test_a_fresh_broker_is_asked_until_its_partitions_have_leaders(broker: Broker) -> None:
    # A list of topics that are all new: each partition has no leader for a moment.
    for _ in range(5):
        prefix = f"new{free_port()}"
        section = FleetSection(
            broker=f"kafka://{broker.address}", prefix=prefix, group=prefix, partitions=8
        )
        assert Register(section, KafkaSection()).all() == []
        broker.forget(prefix)


def test_a_broker_that_restarts_again_and_again_gives_one_line_each(fleet: Fleet) -> None:
    sent, wanted = sent_and_wanted(fleet)
    worker = fleet.worker(only=None, restarts=RESTARTS)
    fleet.produce(part(sent, 0, 6))
    fleet.ids(3 * STREAMS)
    for at in (6, 10):
        fleet.broker.kill()
        fleet.broker.again()
        fleet.produce(part(sent, at, at + 4))
    fleet.produce(part(sent, 14, SHOTS + 1))
    assert set(fleet.ids(len(wanted))) == wanted
    only_lines(worker.errors)
    assert "the partition is not there" not in worker.errors


def test_partitions_that_were_added_are_named(fleet: Fleet) -> None:
    sent, wanted = sent_and_wanted(fleet)
    worker = fleet.worker(restarts=RESTARTS)
    fleet.produce(part(sent, 0, 10))
    fleet.ids(4 * STREAMS)
    admin = fleet.broker.admin()
    more = NewPartitions(fleet.topics.shots, PARTITIONS + 2)
    for future in admin.create_partitions([more]).values():
        future.result(PATIENCE)
    # Streams keep the partitions that the fleet knows, whatever else there is.
    fleet.produce(part(sent, 10, SHOTS + 1))
    assert set(fleet.ids(len(wanted))) == wanted
    only_lines(worker.errors)
    worker.stop()
    again = fleet.worker()
    until(lambda: again.child.poll() is not None, "the worker ends", seconds=PATIENCE)
    assert again.child.returncode == 55
    assert f"has {PARTITIONS + 2} partitions, fleet.partitions is {PARTITIONS}" in again.errors
    only_lines(again.errors)


def test_a_topic_that_is_deleted_ends_the_worker_with_a_reason_that_helps(fleet: Fleet) -> None:
    sent, _ = sent_and_wanted(fleet)
    worker = fleet.worker()
    fleet.produce(part(sent, 0, 10))
    fleet.ids(4 * STREAMS)
    fleet.broker.forget(fleet.topics.boundaries)
    fleet.produce(part(sent, 10, SHOTS + 1))
    until(lambda: worker.child.poll() is not None, "the worker ends", seconds=WAIT)
    assert worker.child.returncode == 55
    only_lines(worker.errors)
    last = worker.errors.splitlines()[-1]
    assert f"there is no topic {fleet.topics.boundaries}" in last
    assert "streamer topics create --fleet" in last
    # It makes the topic itself when it is started again, and sends what was not taken.
    rest = fleet.worker(restarts=RESTARTS)
    assert fleet.ids(STREAMS)
    assert rest.lives()


def test_two_checkpoints_in_one_group(fleet: Fleet) -> None:
    other = fleet.folder / "other.safetensors"
    save_moae(toy_model(seed=9), other)
    sent, wanted = sent_and_wanted(fleet)
    workers = [
        fleet.worker(restarts=RESTARTS),
        fleet.worker(checkpoint=str(other), restarts=RESTARTS),
    ]
    fleet.produce(part(sent, 0, SHOTS + 1))
    # Threshold 0: every boundary is reported, with an id that is its place's, not its score's.
    assert set(fleet.ids(len(wanted))) == wanted
    for worker in workers:
        only_lines(worker.errors)


@pytest.mark.parametrize("still", [0.5 * SESSION, 2.5 * SESSION], ids=["shorter", "longer"])
def test_a_worker_that_stands_still_and_goes_on(fleet: Fleet, still: float) -> None:
    sent, wanted = sent_and_wanted(fleet)
    workers = [fleet.worker(restarts=RESTARTS), fleet.worker(restarts=RESTARTS)]
    fleet.produce(part(sent, 0, 8))
    fleet.ids(4 * STREAMS)
    # In the midst of its work, and for longer than its session: another one takes over.
    fleet.produce(part(sent, 8, 14))
    stopped = workers[0].child
    os.kill(stopped.pid, signal.SIGSTOP)
    until_then = time.monotonic() + still
    fleet.produce(part(sent, 14, 18))
    until(lambda: time.monotonic() > until_then, "it stood still", seconds=still + 1)
    os.kill(stopped.pid, signal.SIGCONT)
    fleet.produce(part(sent, 18, SHOTS + 1))
    assert set(fleet.ids(len(wanted))) == wanted
    for worker in workers:
        only_lines(worker.errors)


@pytest.mark.parametrize("everything", [True, False], ids=["with its readers", "alone"])
def test_a_full_worker_that_stands_still_while_another_takes_over(
    fleet: Fleet,
    everything: bool,
    tmp_path: Path,
    weight_store: WeightStore,
    capfd: pytest.CaptureFixture[str],
) -> None:
    film = tmp_path / "film.mkv"
    write_film(film, pictures(), Recipe(rate=RATE, sound=Tone(SECONDS)))
    config = str(fleet.config(checkpoint=CHECKPOINT, realtime="true"))
    assert run(["tail", str(film), "--quiet", "--config", config]) == 0
    wanted = {json.loads(line)["id"] for line in capfd.readouterr().out.splitlines()}
    assert run(["streams", "add", "film", str(film), "--config", config]) == 0
    first = fleet.worker(only=None, restarts=RESTARTS, checkpoint=CHECKPOINT, realtime="true")
    fleet.ids(2)
    fleet.worker(only=None, restarts=RESTARTS, checkpoint=CHECKPOINT, realtime="true")
    pid = first.child.pid
    readers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    still = [pid, *(map(int, readers) if everything else ())]
    for each in still:
        os.kill(each, signal.SIGSTOP)
    try:
        # The other one has to finish the film.
        assert set(fleet.ids(len(wanted))) == wanted
    finally:
        for each in reversed(still):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)
    # What the first one still held is of no other film, and nothing is told twice in other words.
    assert first.stop() in {0, 55}
    fleet.workers[1].stop()
    assert set(fleet.ids(10**6)) == wanted
    for worker in fleet.workers:
        only_lines(worker.errors)


def test_topics_are_made_by_the_command_and_fit(broker: Broker) -> None:
    prefix = f"cmd{free_port()}"
    os.environ["STREAMER__FLEET__PREFIX"] = os.environ["STREAMER__FLEET__GROUP"] = prefix
    try:
        words = ["topics", "create", "--fleet", "--broker", f"kafka://{broker.address}"]
        assert run([*words, "--partitions", "3"]) == 0
    finally:
        del os.environ["STREAMER__FLEET__PREFIX"], os.environ["STREAMER__FLEET__GROUP"]
    section = FleetSection(
        broker=f"kafka://{broker.address}", prefix=prefix, group=prefix, partitions=3
    )
    before = broker.topics
    assert set(TopicMaker(section, KafkaSection()).make().names) <= before
    assert broker.topics == before
    broker.forget(prefix)
