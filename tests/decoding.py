"""What tests of the decoder share."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from streamer.connectors.sources.file import FileSource
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.timeline import Picture, Sound
from tests.media import Clip, Pixels, Recipe, Tone, frames_of, still, texture, write_film

SETTINGS = DecodeOptions()
B_FRAMES = {"bf": "3", "g": "20", "preset": "veryfast", "b-adapt": "0"}


@dataclass
class Decoded:
    pictures: list[Picture]
    sounds: list[Sound]

    @property
    def seconds(self) -> list[Fraction]:
        return [p.start.seconds for p in self.pictures]


def collect(decoder: Decoder) -> Decoded:
    found = Decoded([], [])
    for item in decoder:
        if isinstance(item, Picture):
            found.pictures.append(item)
        else:
            found.sounds.append(item)
    return found


def decode(path: Path, settings: DecodeOptions = SETTINGS) -> Decoded:
    with Decoder(FileSource(path), settings) as decoder:
        return collect(decoder)


def film(count: int, width: int = 192, height: int = 108, shot: int = 20) -> list[Pixels]:
    clips = [Clip(still(texture(k, width, height)), shot) for k in range(-(-count // shot))]
    return list(frames_of(clips, Fraction(25)))[:count]


def brightness(picture: Picture) -> float:
    return float(picture.frame.reformat(format="gray").to_ndarray().mean())


def growing_film(tmp_path: Path, name: str, options: dict[str, str]) -> bytes:
    path = tmp_path / name
    recipe = Recipe(
        codec="libx264", options={"g": "25"}, container_options=options, sound=Tone(8.0)
    )
    write_film(path, film(200), recipe)
    return path.read_bytes()
