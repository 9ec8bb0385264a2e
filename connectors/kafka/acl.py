"""What a login lacks, asked before work begins instead of found out in the middle of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from confluent_kafka import KafkaException, TopicCollection

from streamer.connectors.kafka.client import is_refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from confluent_kafka.admin import AdminClient

Right = Literal["READ", "WRITE", "DESCRIBE", "CREATE"]


@dataclass(frozen=True, slots=True)
class RequiredAcls:
    """What somebody wants to do; READ and WRITE include DESCRIBE.

    Attributes:
        topics: Topic → rights.
        groups: Consumer groups to join or to keep positions in.
    """

    topics: Mapping[str, tuple[Right, ...]] = field(default_factory=dict)
    groups: tuple[str, ...] = ()

    def __add__(self, other: RequiredAcls) -> RequiredAcls:
        """Both."""
        topics = dict(self.topics)
        for name, rights in other.topics.items():
            topics[name] = tuple(dict.fromkeys((*topics.get(name, ()), *rights)))
        return RequiredAcls(topics, (*self.groups, *other.groups))


def acl_error(kind: Literal["topic", "group"], name: str, rights: Iterable[Right]) -> str:
    """Says what a login needs to be given."""
    return f"the login may not use {kind} {name}: it needs {' and '.join(rights)} there"


def missing_acls(client: AdminClient, needs: RequiredAcls, seconds: float) -> list[str]:
    """Asks the brokers what the login may do.

    Args:
        client: Of the login.
        needs: What it should be able to do; the topics are there.
        seconds: Patience for each of two requests.

    Returns:
        One line for each topic and group. Brokers that do not tell lack nothing: they will say no
        when it comes to it.
    """
    found: list[str] = []
    if needs.topics:
        asked = client.describe_topics(
            TopicCollection([*needs.topics]),
            include_authorized_operations=True,
            request_timeout=seconds,
        )
        for name, future in asked.items():
            if missing := _missing(future, needs.topics[name], seconds):
                found.append(acl_error("topic", name, missing))
    if needs.groups:
        held = client.describe_consumer_groups(
            [*needs.groups], include_authorized_operations=True, request_timeout=seconds
        )
        for name, future in held.items():
            if missing := _missing(future, ("READ",), seconds):
                found.append(acl_error("group", name, missing))
    return found


def _missing(future: Any, rights: tuple[Right, ...], seconds: float) -> tuple[Right, ...]:
    try:
        given = future.result(seconds).authorized_operations
    except KafkaException as error:
        return rights if is_refusal(error.args[0]) else ()
    except TimeoutError:
        return ()
    names = {each.name for each in given or ()}
    return tuple(right for right in rights if right not in names) if names else ()
