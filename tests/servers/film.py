"""A film whose shots can be recognised in what a decoder gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from streamer.config.sections import SourceSection
from streamer.connectors.sources.registry import open_source
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import SourceError, SourceNotFound, SourceUnreachable
from streamer.timeline import Picture, StreamInfo
from tests.media import Clip, Pixels, Recipe, Tone, frames_of, still, texture, write_film
from tests.waiting import until

RATE = Fraction(25)
SHOTS = (40, 35, 45, 30)
SIZE = 192, 108
SHRUNK = 32, 18
ONLINE = {"g": "25", "bf": "0", "tune": "zerolatency", "preset": "veryfast"}
FRAME = 1 / RATE


def shot_pictures() -> list[Pixels]:
    return [texture(seed, *SIZE) for seed in range(len(SHOTS))]


def write(path: Path, rate: Fraction = RATE) -> None:
    """Six seconds, four shots, H.264 with a key frame a second, AAC."""
    clips = [Clip(still(p), n) for p, n in zip(shot_pictures(), SHOTS, strict=True)]
    seconds = float(sum(SHOTS) / rate)
    recipe = Recipe(rate=rate, codec="libx264", options=ONLINE, sound=Tone(seconds))
    write_film(path, frames_of(clips, rate), recipe)


@dataclass
class Watched:
    """What came out of an input.

    Attributes:
        info: Known at its opening.
        live: Said once it was open.
        error: What ended it.
        starts: Shot → its first picture.
        pictures: How many.
        sounds: How many blocks.
        last: The last picture's time.
        drift: Of media time against arrival, at the end.
        final: The last picture.
    """

    info: StreamInfo | None = None
    live: bool | None = None
    error: SourceError | None = None
    starts: dict[int, Picture] = field(default_factory=dict)
    pictures: int = 0
    sounds: int = 0
    last: Fraction = Fraction(0)
    drift: float | None = None
    final: Picture | None = None

    def cuts(self) -> list[Fraction]:
        """Times at which shots 1, 2 and 3 begin."""
        return [self.starts[shot].start.seconds for shot in range(1, len(SHOTS))]

    def exact(self, rate: Fraction = RATE) -> bool:
        """The later shots begin as far apart as they were made, to within a frame."""
        cuts = self.cuts()
        lengths = [after - before for before, after in pairwise(cuts)]
        wanted = [count / rate for count in SHOTS[1:-1]]
        return all(abs(a - b) < 1 / rate for a, b in zip(lengths, wanted, strict=True))


_SHOWN = [p[3::6, 3::6].mean(axis=2) for p in shot_pictures()]


def shot_of(picture: Picture) -> int:
    """Which shot a picture belongs to."""
    grey = picture.frame.reformat(*SIZE, format="gray").to_ndarray()[3::6, 3::6]
    return int(np.argmin([np.abs(grey - shown).mean() for shown in _SHOWN]))


def take(items: Iterable[object], into: Watched) -> None:
    for item in items:
        if isinstance(item, Picture):
            into.starts.setdefault(shot_of(item), item)
            into.pictures += 1
            into.last, into.final = item.start.seconds, item
        else:
            into.sounds += 1


def watch(location: str, **settings: object) -> Watched:
    """Opens a location, patiently, and decodes it to its end."""
    section = SourceSection.model_validate({"stall_seconds": 2.5, **settings})
    found = Watched()

    def opened() -> bool:
        decoder = Decoder(open_source(location, section), DecodeOptions(threads=1))
        try:
            with decoder:
                found.info, found.live = decoder.info, decoder.live
                take(decoder, found)
        except (SourceUnreachable, SourceNotFound) as error:
            # Nobody sends there yet, unless something came before.
            found.error = error
            return found.info is not None
        except SourceError as error:
            found.error = error
        found.drift = decoder.drift
        return True

    until(opened, f"watched {location}")
    return found
