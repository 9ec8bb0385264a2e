"""Brokers are asked again while an answer may pass, and for so long only."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamer.connectors.kafka.client import ClientErrors, ask, passing


class Asked:
    """A question whose first answers are errors."""

    def __init__(self, *codes: int) -> None:
        self.left, self.count = list(codes), 0

    def __call__(self) -> str:
        self.count += 1
        if self.left:
            raise KafkaException(KafkaError(self.left.pop(0)))
        return "answer"


def test_what_passes_is_asked_again() -> None:
    errors = ClientErrors()
    question = Asked(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._TIMED_OUT)
    assert ask(question, 10.0, errors) == "answer"
    assert question.count == 3
    assert errors.counts.total() == 2


def test_what_does_not_pass_is_told_at_once() -> None:
    question = Asked(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException) as raised:
        ask(question, 10.0, ClientErrors())
    assert raised.value.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert question.count == 1


def test_a_deadline_ends_it_with_the_latest_answer() -> None:
    question = Asked(*[KafkaError._TRANSPORT] * 100)
    began = time.monotonic()
    with pytest.raises(KafkaException) as raised:
        ask(question, 0.8, ClientErrors())
    assert 0.2 < time.monotonic() - began < 0.8
    assert raised.value.args[0].code() == KafkaError._TRANSPORT
    assert 1 < question.count < 6


def test_nothing_is_asked_again_once_a_login_is_refused() -> None:
    errors = ClientErrors()
    errors.note(KafkaError(KafkaError._AUTHENTICATION))
    question = Asked(KafkaError._TRANSPORT)
    with pytest.raises(KafkaException):
        ask(question, 10.0, errors)
    assert question.count == 1


def test_a_full_queue_and_a_wrong_request_do_not_pass() -> None:
    for code in (KafkaError._QUEUE_FULL, KafkaError._INVALID_ARG, KafkaError.INVALID_CONFIG):
        assert not passing(KafkaError(code))
