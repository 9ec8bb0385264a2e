"""Which segments a DASH representation has: templates, timelines and lists."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element

MOST_SEGMENTS: Final = 20_000
WINDOW_SECONDS: Final = 60.0
"""Of a live presentation that keeps everything, only so much is of interest."""

_FIELD: Final = re.compile(r"\$(RepresentationID|Number|Time|Bandwidth|)(?:%0(\d{1,2})d)?\$")
_NAMED: Final = ("SegmentTemplate", "SegmentList")


class NotDash(ValueError):
    """The text is no description that can be played; the message says why."""


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


def pieces(nodes: tuple[Element, Element, Element], base: str, period: Period, now: float) -> Part:
    """Lists the segments of one representation.

    Args:
        nodes: Its period, adaptation set and itself, which inherit in this order.
        base: What relative addresses count from.
        period: Where it is.
        now: Seconds since the Unix epoch; decides what of a live presentation is there.

    Raises:
        NotDash: That cannot be told, or is too much.
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
        return _templated(attributes, found, best, base, period, now)
    if "SegmentList" in found:
        return _listed(attributes, found, base, period)
    # One file for all: its own index tells the demuxer the rest.
    return Part(None, (Piece(base, period.seconds or 1.0, None, period.began),))


def _templated(
    attributes: dict[str, str],
    found: dict[str, Element],
    best: Element,
    base: str,
    period: Period,
    now: float,
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
        spans = list(_timeline(found["SegmentTimeline"], lasting))
        numbered = [(first + k, at, length) for k, (at, length) in enumerate(spans)]
    else:
        length = max(1, _whole(attributes.get("duration"), 0))
        low, high = _there(length / scale, period, now)
        numbered = [(first + k, offset + k * length, length) for k in range(low, high)]
    segments = tuple(
        Piece(
            urljoin(base, _fill(media, best, number, at)),
            length / scale,
            None,
            None if period.began is None else period.began + (at - offset) / scale,
            counted and period.began is not None,
        )
        for number, at, length in numbered
    )
    name = attributes.get("initialization")
    header = None if name is None else Piece(urljoin(base, _fill(name, best, 0, 0)))
    return Part(header, segments)


def _timeline(node: Element, lasting: int | None) -> Iterator[tuple[int, int]]:
    at = 0
    count = 0
    entries = list(node.iter("S"))
    for number, entry in enumerate(entries):
        at = _whole(entry.get("t"), at)
        length = max(1, _whole(entry.get("d"), 1))
        repeats = _whole(entry.get("r"), 0)
        if repeats < 0:
            following = entries[number + 1].get("t") if number + 1 < len(entries) else None
            end = _whole(following, at + length) if following is not None else lasting
            repeats = 0 if end is None else max(0, math.ceil((end - at) / length) - 1)
        for _ in range(repeats + 1):
            count += 1
            if count > MOST_SEGMENTS:
                raise NotDash(f"names more than {MOST_SEGMENTS} segments")
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
    if high is None or high - low > MOST_SEGMENTS:
        raise NotDash("does not say how many segments there are, or names too many")
    return low, high


def _listed(
    attributes: dict[str, str], found: dict[str, Element], base: str, period: Period
) -> Part:
    scale = max(1, _whole(attributes.get("timescale"), 1))
    seconds = _whole(attributes.get("duration"), scale) / scale
    urls = [node for node in found["SegmentList"] if node.tag == "SegmentURL"]
    if len(urls) > MOST_SEGMENTS:
        raise NotDash(f"names more than {MOST_SEGMENTS} segments")
    segments = tuple(
        Piece(
            urljoin(base, node.get("media", "")),
            seconds,
            _span(node.get("mediaRange")),
            None if period.began is None else period.began + number * seconds,
        )
        for number, node in enumerate(urls)
    )
    start = found.get("Initialization")
    header = None
    if start is not None:
        header = Piece(urljoin(base, start.get("sourceURL", "")), 0.0, _span(start.get("range")))
    return Part(header, segments)


def _fill(template: str, best: Element, number: int, at: int) -> str:
    values: dict[str, str | int] = {
        "": "$",
        "RepresentationID": best.get("id", ""),
        "Number": number,
        "Time": at,
        "Bandwidth": bits_a_second(best),
    }

    def value(field: re.Match[str]) -> str:
        found = values[field[1]]
        return str(found).zfill(int(field[2])) if field[2] else str(found)

    return _FIELD.sub(value, template)


def resolved(node: Element, base: str) -> str:
    """What relative addresses within an element count from.

    Args:
        node: May have a base of its own.
        base: That of the element around it.
    """
    child = node.find("BaseURL")
    return base if child is None else urljoin(base, (child.text or "").strip())


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
