"""DASH media presentation descriptions (ISO/IEC 23009-1): what there is to play, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from pydantic import TypeAdapter, ValidationError

from streamer.connectors.sources.segments import (
    WINDOW_SECONDS,
    Budget,
    NotDash,
    NotYet,
    Part,
    Period,
    TooMuch,
    bits_a_second,
    pieces,
    resolved,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element

MOST_PERIODS: Final = 100
MOST_SOUNDS: Final = 16
"""More are left out."""
_DURATION: Final = TypeAdapter(timedelta)


@dataclass(frozen=True, slots=True)
class Track:
    """The best representation of its kind and language in each period.

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
        tracks: The best picture first, then one for each choice of sound that is not too much.
    """

    live: bool
    tracks: tuple[Track, ...]


def parse(text: bytes, url: str, now: float) -> Presentation:
    """Reads a description.

    Args:
        text: XML; entities and external references are refused.
        url: Where it is, for relative addresses.
        now: Seconds since the Unix epoch; decides what of a live presentation is there.

    Raises:
        NotDash: It is none, is encrypted, or names too much; ``NotYet`` when that may pass.
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
    columns: dict[str, list[_Choice]] = {}
    for period in _periods(root, url, live, now):
        for number, chosen in enumerate(period.node.findall("AdaptationSet")):
            best = max(chosen.findall("Representation"), key=bits_a_second, default=None)
            kind = _kind(chosen)
            if best is None or kind is None:
                continue
            name = kind if kind == "video" else f"audio {chosen.get('lang', number)}"
            others = len(columns) - ("video" in columns)
            if kind == "video" or name in columns or others < MOST_SOUNDS:
                _choose(columns.setdefault(name, []), _Choice(period, chosen, best))
    tracks = _tracks(columns, now)
    if not tracks and live:
        raise NotYet("has no segments yet")
    if not tracks:
        raise NotDash("names no segments of picture or sound")
    return Presentation(live, tracks)


@dataclass(frozen=True, slots=True)
class _Choice:
    """What one track plays in one period."""

    period: Period
    chosen: Element
    best: Element


def _choose(column: list[_Choice], choice: _Choice) -> None:
    """Adds what a period has, in place of what is worse there."""
    if not column or column[-1].period is not choice.period:
        column.append(choice)
    elif bits_a_second(choice.best) > bits_a_second(column[-1].best):
        column[-1] = choice


def _tracks(columns: dict[str, list[_Choice]], now: float) -> tuple[Track, ...]:
    budget = Budget()
    tracks: list[Track] = []
    for name, column in sorted(columns.items(), key=lambda entry: entry[0] != "video"):
        try:
            track = _track(name, column, now, budget)
        except TooMuch:
            if not any(track.kind == "audio" for track in tracks):
                raise
            # One sound is enough.
            break
        if any(part.segments for part in track.parts):
            tracks.append(track)
    return tuple(tracks)


def _periods(root: Element, url: str, live: bool, now: float) -> Iterator[Period]:
    base = resolved(root, url)
    total = _seconds(root.get("mediaPresentationDuration"))
    available = _date(root.get("availabilityStartTime")) if live else None
    depth = _seconds(root.get("timeShiftBufferDepth")) or WINDOW_SECONDS
    nodes = root.findall("Period")[:MOST_PERIODS]
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
            yield Period(node, resolved(node, base), starts[number], seconds, began, depth)


def _kind(chosen: Element) -> str | None:
    for node in (chosen, *chosen.findall("Representation")):
        said = node.get("contentType") or node.get("mimeType", "").partition("/")[0]
        if said in {"video", "audio"}:
            return said
    return None


def _track(name: str, column: Sequence[_Choice], now: float, budget: Budget) -> Track:
    parts = []
    for choice in column:
        period, chosen, best = choice.period, choice.chosen, choice.best
        base = resolved(best, resolved(chosen, period.base))
        parts.append(pieces((period.node, chosen, best), base, period, now, budget))
    bandwidth = max(bits_a_second(choice.best) for choice in column)
    language = column[0].chosen.get("lang", "")
    return Track(name.partition(" ")[0], bandwidth, language, tuple(parts))


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
