"""Scan a media folder for pictures and sounds, and split them into training and test."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streamer.errors import ComposeError
from streamer.lines import reason

Side = Literal["train", "test"]
TRAIN_SHARE = 0.75
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
SOUNDS = frozenset({".opus", ".ogg", ".oga", ".wav", ".flac", ".mp3", ".m4a", ".g722"})
CLIP_OF_RECORDING = re.compile(r"\d+-(\d+)-[A-Z]$")


@dataclass(frozen=True, slots=True)
class Place:
    """One real place and its views.

    Attributes:
        name: The folder's name.
        unit: What must stay on one side of the split: the group of look-alikes, or the place.
        views: Pictures of the place, in their natural order.
        indoor: Whether it is indoors; None where the index does not say.
        night: Whether the pictures were taken at night.
    """

    name: str
    unit: str
    views: tuple[Path, ...]
    indoor: bool | None = None
    night: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """One person: portraits, each with a matte of the same size.

    A person without a portrait is heard and never seen.
    """

    name: str
    portraits: tuple[tuple[Path, Path], ...]

    @property
    def unit(self) -> str:
        """Name of the person, who is never split."""
        return self.name


@dataclass(frozen=True, slots=True)
class Recording:
    """One sound file; files of one ``unit`` come from one recording or one speaker."""

    path: Path
    unit: str


@dataclass(frozen=True, slots=True)
class Library:
    """Media that films are composed from; only places are required."""

    places: tuple[Place, ...]
    people: tuple[Person, ...] = ()
    speech: tuple[Recording, ...] = ()
    ambience: tuple[Recording, ...] = ()
    music: tuple[Recording, ...] = ()
    effects: tuple[Recording, ...] = ()

    def side(self, side: Side | None) -> Library:
        """Return the part of the library on one side of the split, or all of it for None.

        Raises:
            ComposeError: No place is on that side.
        """
        if side is None:
            return self
        kept = Library(
            places=tuple(p for p in self.places if side_of("places", p.unit) == side),
            people=tuple(p for p in self.people if side_of("people", p.unit) == side),
            speech=tuple(r for r in self.speech if side_of("speech", r.unit) == side),
            ambience=tuple(r for r in self.ambience if side_of("ambience", r.unit) == side),
            music=tuple(r for r in self.music if side_of("music", r.unit) == side),
            effects=tuple(r for r in self.effects if side_of("effects", r.unit) == side),
        )
        if not kept.places:
            raise ComposeError(f"no place of this media folder falls on the {side} side")
        return kept


def side_of(kind: str, unit: str) -> Side:
    """Assign a unit to a side by a hash of its name, the same in every run.

    Args:
        kind: Name of the collection, so that equal names in two of them are independent.
        unit: What must not be split between training and test.
    """
    digest = hashlib.sha256(f"{kind}/{unit}".encode()).digest()
    return "train" if int.from_bytes(digest[:8]) / 2**64 < TRAIN_SHARE else "test"


def scan(root: Path) -> Library:
    """Read a media folder.

    Args:
        root: Folder with ``places`` and, optionally, ``faces``, ``speech``, ``ambience``,
            ``music`` and ``effects``; docs/compose.md describes the layout.

    Raises:
        ComposeError: The folder or its places are missing, or its index is unreadable.
    """
    if not root.is_dir():
        raise ComposeError(f"{root}: not a media folder")
    places = _places(root / "places")
    if not places:
        raise ComposeError(f"{root / 'places'}: no folder with at least two pictures of a place")
    return Library(
        places=places,
        people=_people(root / "faces"),
        speech=_recordings(root / "speech", _speaker),
        ambience=_recordings(root / "ambience", _whole),
        music=_recordings(root / "music", _whole),
        effects=_recordings(root / "effects", _source_recording),
    )


def _natural(path: Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdecimal() else 1 << 30, path.name)


def _folders(root: Path) -> list[Path]:
    return sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []


def _places(root: Path) -> tuple[Place, ...]:
    index: dict[str, dict[str, object]] = {}
    if (root / "index.json").is_file():
        try:
            loaded = json.loads((root / "index.json").read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ComposeError(f"{root / 'index.json'}: unreadable: {reason(error)}") from error
        if not isinstance(loaded, dict) or not all(isinstance(v, dict) for v in loaded.values()):
            raise ComposeError(f"{root / 'index.json'}: expected one object per place")
        index = loaded
    places = []
    for folder in _folders(root):
        views = tuple(
            sorted((p for p in folder.iterdir() if p.suffix.lower() in PICTURES), key=_natural)
        )
        if len(views) < 2:
            continue
        facts = index.get(folder.name, {})
        group = facts.get("similar_group")
        indoor = facts.get("indoor")
        places.append(
            Place(
                name=folder.name,
                unit=f"group:{group}" if group else folder.name,
                views=views,
                indoor=None if indoor is None else bool(indoor),
                night=bool(facts.get("night", False)),
            )
        )
    return tuple(places)


def _people(root: Path) -> tuple[Person, ...]:
    people = []
    for folder in _folders(root):
        portraits = []
        for mask in sorted(folder.glob("*_mask.png")):
            stem = mask.name.removesuffix("_mask.png")
            found = [p for p in sorted(folder.glob(f"{stem}.*")) if p.suffix.lower() in PICTURES]
            portraits += [(picture, mask) for picture in found[:1]]
        if portraits:
            people.append(Person(folder.name, tuple(portraits)))
    return tuple(people)


def _whole(path: Path) -> str:
    return path.stem


def _speaker(path: Path) -> str:
    return path.stem.rsplit("__", 1)[-1].split("-", 1)[0]


def _source_recording(path: Path) -> str:
    found = CLIP_OF_RECORDING.search(path.stem.rsplit("__", 1)[-1])
    return found.group(1) if found else path.stem


def _recordings(root: Path, unit: Callable[[Path], str]) -> tuple[Recording, ...]:
    if not root.is_dir():
        return ()
    files = sorted(p for p in root.iterdir() if p.suffix.lower() in SOUNDS)
    return tuple(Recording(p, unit(p)) for p in files)
