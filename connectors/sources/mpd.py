"""DASH media presentation descriptions (ISO/IEC 23009-1): which segments there are, and when."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from pydantic import TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element

MOST_SEGMENTS: Final = 20_000
WINDOW_SECONDS: Final = 60.0
"""Of a live presentation that keeps everything, only so much is of interest."""

_FIELD: Final = re.compile(r"\$(RepresentationID|Number|Time|Bandwidth|)(?:%0(\d{1,2})d)?\$")
_DURATION: Final = TypeAdapter(timedelta)
_NAMED: Final = ("SegmentTemplate", "SegmentList")


class NotDash(ValueError):
    """The text is no description that can be played; the message says why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A segment, or the header of the segments that follow.

    Attributes:
        url: Absolute.
        seconds: How long it plays; 0 for a header.
        span: First byte and length, when it is part of a file.
        date: When its first moment was, in seconds since the Unix epoch; None for recordings.
    """

    url: str
    seconds: float = 0.0
    span: tuple[int, int] | None = None
    date: float | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What one track plays in one period."""

    header: Piece | None
    segments: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Track:
    """One representation: the best of its adaptation set.

    Attributes:
        kind: ``video`` or ``audio``.
        bandwidth: Bits a second as said.
        language: As said, else empty.
        parts: One for each period, in order.
    """

    kind: str
    bandwidth: int
    language: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Presentation:
    """A description in full.

    Attributes:
        live: It may still grow.
        tracks: The best picture first, then one for each choice of sound.
    """

    live: bool
    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class _Period:
    node: Element
    base: str
    start: float
    seconds: float | None
    began: float | None
    depth: float


def parse(text: bytes, url: str, now: float) -> Presentation:
    """Reads a description.

    Args:
        text: XML; entities and external references are refused.
        url: Where it is, for relative addresses.
        now: Seconds since the Unix epoch; decides what of a live presentation is there.

    Raises:
        NotDash: It is none, is encrypted, or names too much.
    """
    try:
        root = ElementTree.fromstring(text, forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, ValueError):
        raise NotDash("is not XML, or has entities") from None
    for node in root.iter():
        node.tag = str(node.tag).rpartition("}")[2]
    if root.tag != "MPD":
        raise NotDash("is no DASH description")
    if next(root.iter("ContentProtection"), None) is not None:
        raise NotDash("is encrypted")
    live = root.get("type") == "dynamic"
    periods = list(_periods(root, url, live, now))
    columns: dict[str, list[tuple[Element, _Period]]] = {}
    for period in periods:
        for number, chosen in enumerate(period.node.iter("AdaptationSet")):
            kind = _kind(chosen)
            if kind is not None:
                name = kind if kind == "video" else f"audio {chosen.get('lang', number)}"
                columns.setdefault(name, []).append((chosen, period))
    tracks = [_track(name, sets, now) for name, sets in columns.items()]
    tracks = [track for track in tracks if any(part.segments for part in track.parts)]
    if not tracks:
        raise NotDash("names no segments of picture or sound")
    return Presentation(live, tuple(sorted(tracks, key=lambda track: track.kind != "video")))


def _periods(root: Element, url: str, live: bool, now: float) -> Iterator[_Period]:
    base = _base(root, url)
    total = _seconds(root.get("mediaPresentationDuration"))
    available = _date(root.get("availabilityStartTime")) if live else None
    depth = _seconds(root.get("timeShiftBufferDepth")) or WINDOW_SECONDS
    nodes = list(root.iter("Period"))[:100]
    starts: list[float] = []
    for node in nodes:
        said = _seconds(node.get("start"))
        before = 0.0
        if starts:
            before = starts[-1] + (_seconds(nodes[len(starts) - 1].get("duration")) or 0.0)
        starts.append(before if said is None else said)
    for number, node in enumerate(nodes):
        end = starts[number + 1] if number + 1 < len(nodes) else total
        seconds = _seconds(node.get("duration"))
        if seconds is None and end is not None:
            seconds = end - starts[number]
        began = None if available is None else available + starts[number]
        if began is None or began <= now:
            yield _Period(node, _base(node, base), starts[number], seconds, began, depth)


def _kind(chosen: Element) -> str | None:
    for node in (chosen, *chosen.iter("Representation")):
        said = node.get("contentType") or node.get("mimeType", "").partition("/")[0]
        if said in {"video", "audio"}:
            return said
    return None


def _track(name: str, sets: Sequence[tuple[Element, _Period]], now: float) -> Track:
    parts = []
    bandwidth = 0
    for chosen, period in sets:
        best = max(chosen.iter("Representation"), key=_bandwidth, default=None)
        if best is None:
            continue
        bandwidth = max(bandwidth, _bandwidth(best))
        base = _base(best, _base(chosen, period.base))
        parts.append(_part((period.node, chosen, best), base, period, now))
    language = sets[0][0].get("lang", "")
    return Track(name.partition(" ")[0], bandwidth, language, tuple(parts))


def _part(nodes: tuple[Element, Element, Element], base: str, period: _Period, now: float) -> Part:
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
    period: _Period,
    now: float,
) -> Part:
    media = attributes.get("media")
    if media is None:
        raise NotDash("has a template without a name for segments")
    scale = max(1, _whole(attributes.get("timescale"), 1))
    first = _whole(attributes.get("startNumber"), 1)
    offset = _whole(attributes.get("presentationTimeOffset"), 0)
    if "SegmentTimeline" in found:
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


def _there(seconds: float, period: _Period, now: float) -> tuple[int, int]:
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
    attributes: dict[str, str], found: dict[str, Element], base: str, period: _Period
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
        "Bandwidth": _bandwidth(best),
    }

    def value(field: re.Match[str]) -> str:
        found = values[field[1]]
        return str(found).zfill(int(field[2])) if field[2] else str(found)

    return _FIELD.sub(value, template)


def _base(node: Element, base: str) -> str:
    child = node.find("BaseURL")
    return base if child is None else urljoin(base, (child.text or "").strip())


def _bandwidth(node: Element) -> int:
    return _whole(node.get("bandwidth"), 0)


def _whole(text: str | None, default: int) -> int:
    return int(text) if text is not None and re.fullmatch(r"-?\d{1,18}", text) else default


def _span(text: str | None) -> tuple[int, int] | None:
    first, _, last = (text or "").partition("-")
    if not (first.isdigit() and last.isdigit()):
        return None
    return int(first), max(0, int(last) - int(first) + 1)


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return max(0.0, _DURATION.validate_python(text).total_seconds())
    except ValidationError:
        return None


def _date(text: str | None) -> float | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
