"""Which segments a DASH representation has: templates, timelines and lists."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from xml.etree.ElementTree import Element

MOST_SEGMENTS: Final = 50_000
"""Of all tracks and periods together: half a day of picture and sound in segments of 2 s."""
MOST_LETTERS: Final = 16 << 20
"""Of all addresses together."""
LONGEST_ADDRESS: Final = 4096
WINDOW_SECONDS: Final = 60.0
"""Of a live presentation that keeps everything, only so much is of interest."""

_FIELD: Final = re.compile(r"\$(RepresentationID|Number|Time|Bandwidth|)(?:%0(\d{1,2})d)?\$")
_NAMED: Final = ("SegmentTemplate", "SegmentList")


class NotDash(ValueError):
    """The text is no description that can be played; the message says why."""


class TooMuch(NotDash):
    """It names more than is kept of one description."""


class NotYet(NotDash):
    """A live presentation has begun, or will, but has nothing to be played so far."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment, or the header of the segments that follow.

    Attributes:
        url: Absolute.
        seconds: How long it plays; 0 for a header.
        span: First byte and length, when it is part of a file.
        date: When its first moment was, in seconds since the Unix epoch; None for recordings.
        counted: It should be there by the clock, but nobody says that it is.
    """

    url: str
    seconds: float = 0.0
    span: tuple[int, int] | None = None
    date: float | None = None
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What one track plays in one period."""

    header: Piece | None
    segments: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of a presentation.

    Attributes:
        node: Its element.
        base: What relative addresses in it count from.
        start: Seconds from the beginning of the presentation.
        seconds: How long it is; None while that is open.
        began: When it began, in seconds since the Unix epoch; None for recordings.
        depth: Seconds of a live presentation that are kept.
    """

    node: Element
    base: str
    start: float
    seconds: float | None
    began: float | None
    depth: float


class Budget:
    """What a description may still name, whatever track and period it is of."""

    def __init__(self) -> None:
        self._segments, self._letters = MOST_SEGMENTS, MOST_LETTERS

    def segments(self, count: int) -> None:
        """Takes some before they are made.

        Raises:
            TooMuch: There are not so many left.
        """
        self._segments -= count
        if self._segments < 0:
            raise TooMuch(f"names more than {MOST_SEGMENTS} segments")

    def letters(self, address: str) -> str:
        """Takes an address.

        Raises:
            TooMuch: It is longer than any real one, or its letters are not left.
        """
        self._letters -= len(_bounded(address))
        if self._letters < 0:
            raise TooMuch(f"names addresses of more than {MOST_LETTERS} letters")
        return address


def joined(base: str, relative: str) -> str:
    """Makes an address absolute.

    Args:
        base: What it counts from.
        relative: As in the description.

    Raises:
        TooMuch: It is longer than any real one.
    """
    return _bounded(urljoin(base, _bounded(relative)))


def _bounded(text: str) -> str:
    if len(text) > LONGEST_ADDRESS:
        raise TooMuch(f"names an address of more than {LONGEST_ADDRESS} letters")
    return text


def pieces(
    nodes: tuple[Element, Element, Element],
    base: str,
    period: Period,
    now: float,
    budget: Budget,
) -> Part:
    """Lists the segments of one representation.

    Args:
        nodes: Its period, adaptation set and itself, which inherit in this order.
        base: What relative addresses count from.
        period: Where it is.
        now: Seconds since the Unix epoch; decides what of a live presentation is there.
        budget: Gives what is named here.

    Raises:
        NotDash: That cannot be told; ``TooMuch`` when the budget does not last.
    """
    best = nodes[-1]
    attributes: dict[str, str] = {}
    found: dict[str, Element] = {}
    for node in nodes:
        for name in _NAMED:
            child = node.find(name)
            if child is not None:
                attributes |= child.attrib
                found |= {inner.tag: inner for inner in child} | {name: child}
    if "SegmentTemplate" in found:
        return _templated(attributes, found, best, base, period, now, budget)
    if "SegmentList" in found:
        return _listed(attributes, found, base, period, budget)
    # One file for all: its own index tells the demuxer the rest.
    budget.segments(1)
    return Part(None, (Piece(base, period.seconds or 1.0, None, period.began),))


def _templated(
    attributes: dict[str, str],
    found: dict[str, Element],
    best: Element,
    base: str,
    period: Period,
    now: float,
    budget: Budget,
) -> Part:
    media = attributes.get("media")
    if media is None:
        raise NotDash("has a template without a name for segments")
    scale = max(1, _whole(attributes.get("timescale"), 1))
    first = _whole(attributes.get("startNumber"), 1)
    offset = _whole(attributes.get("presentationTimeOffset"), 0)
    counted = "SegmentTimeline" not in found
    if not counted:
        lasting = None if period.seconds is None else round(period.seconds * scale) + offset
        spans = list(_timeline(found["SegmentTimeline"], lasting, budget))
        numbered = [(first + k, at, length) for k, (at, length) in enumerate(spans)]
    else:
        length = max(1, _whole(attributes.get("duration"), 0))
        low, high = _there(length / scale, period, now)
        budget.segments(high - low)
        numbered = [(first + k, offset + k * length, length) for k in range(low, high)]
    # What is the same for all comes first, and a name is put together once: numbers stay in it.
    media = joined(base, _fill(media, _constants(best)))
    segments = tuple(
        Piece(
            budget.letters(_fill(media, {"Number": number, "Time": at, "": "$"})),
            length / scale,
            None,
            None if period.began is None else period.began + (at - offset) / scale,
            counted and period.began is not None,
        )
        for number, at, length in numbered
    )
    name = attributes.get("initialization")
    if name is None:
        return Part(None, segments)
    header = joined(base, _fill(name, _constants(best) | {"Number": 0, "Time": 0, "": "$"}))
    return Part(Piece(budget.letters(header)), segments)


def _timeline(node: Element, lasting: int | None, budget: Budget) -> Iterator[tuple[int, int]]:
    at = 0
    entries = list(node.iter("S"))
    for number, entry in enumerate(entries):
        at = _whole(entry.get("t"), at)
        length = max(1, _whole(entry.get("d"), 1))
        repeats = _whole(entry.get("r"), 0)
        if repeats < 0:
            following = entries[number + 1].get("t") if number + 1 < len(entries) else None
            end = _whole(following, at + length) if following is not None else lasting
            repeats = 0 if end is None else max(0, math.ceil((end - at) / length) - 1)
        budget.segments(repeats + 1)
        for _ in range(repeats + 1):
            yield at, length
            at += length


def _there(seconds: float, period: Period, now: float) -> tuple[int, int]:
    """Which segments of equal length there are, as a range."""
    low = 0
    high = None if period.seconds is None else math.ceil(round(period.seconds / seconds, 6))
    if period.began is not None:
        # A segment is there when it is complete.
        complete = max(0, math.floor((now - period.began) / seconds))
        high = complete if high is None else min(high, complete)
        low = max(0, high - math.ceil(min(period.depth, WINDOW_SECONDS) / seconds))
    if high is None:
        raise NotDash("does not say how many segments there are")
    return low, high


def _listed(
    attributes: dict[str, str],
    found: dict[str, Element],
    base: str,
    period: Period,
    budget: Budget,
) -> Part:
    scale = max(1, _whole(attributes.get("timescale"), 1))
    seconds = _whole(attributes.get("duration"), scale) / scale
    urls = [node for node in found["SegmentList"] if node.tag == "SegmentURL"]
    budget.segments(len(urls))
    segments = tuple(
        Piece(
            budget.letters(joined(base, node.get("media", ""))),
            seconds,
            _span(node.get("mediaRange")),
            None if period.began is None else period.began + number * seconds,
        )
        for number, node in enumerate(urls)
    )
    start = found.get("Initialization")
    header = None
    if start is not None:
        url = budget.letters(joined(base, start.get("sourceURL", "")))
        header = Piece(url, 0.0, _span(start.get("range")))
    return Part(header, segments)


def _constants(best: Element) -> dict[str, str | int]:
    identity = _bounded(best.get("id", ""))
    return {"RepresentationID": identity, "Bandwidth": bits_a_second(best)}


def _fill(template: str, values: Mapping[str, str | int]) -> str:
    """Puts in what is known and leaves the rest; short templates only, as it may multiply them."""

    def value(field: re.Match[str]) -> str:
        found = values.get(field[1])
        if found is None:
            return field[0]
        return str(found).zfill(int(field[2])) if field[2] else str(found)

    return _FIELD.sub(value, _bounded(template))


def resolved(node: Element, base: str) -> str:
    """What relative addresses within an element count from.

    Args:
        node: May have a base of its own.
        base: That of the element around it.

    Raises:
        TooMuch: It is longer than any real one.
    """
    child = node.find("BaseURL")
    return base if child is None else joined(base, (child.text or "").strip())


def bits_a_second(node: Element) -> int:
    """The bandwidth that a representation says it needs.

    Args:
        node: A representation.
    """
    return _whole(node.get("bandwidth"), 0)


def _whole(text: str | None, default: int) -> int:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,18}", text) else default


def _span(text: str | None) -> tuple[int, int] | None:
    first, _, last = (text or "").partition("-")
    if not (first.isdigit() and last.isdigit()):
        return None
    return int(first), max(0, int(last) - int(first) + 1)
