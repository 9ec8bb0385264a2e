"""Writes what is true about a film: scene times, shot times and what it was made of."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from streamer.models.compose.library import Library, Side
    from streamer.models.compose.plan import FilmPlan

FORMAT = 1


def write_scenes(film: FilmPlan, path: Path) -> None:
    """One row a scene: ``start,end`` in seconds of the film."""
    rows = ([_seconds(film, s.first), _seconds(film, s.end)] for s in film.scenes)
    _write(path, ("start", "end"), rows)


def write_shots(film: FilmPlan, path: Path) -> None:
    """One row a shot: ``start,end,scene,transition,before,after``.

    ``transition`` is how the shot begins; ``before`` and ``after`` are the seconds by which a
    gradual one begins earlier and ends later than ``start``.
    """
    rows = (
        [
            _seconds(film, s.first),
            _seconds(film, s.end),
            str(s.scene),
            s.transition.kind,
            _seconds(film, s.transition.before),
            _seconds(film, s.transition.after),
        ]
        for s in film.shots
    )
    _write(path, ("start", "end", "scene", "transition", "before", "after"), rows)


def describe(film: FilmPlan, library: Library, side: Side | None) -> dict[str, object]:
    """What a film was made of, as plain JSON values.

    Args:
        film: The plan.
        library: The side of the media that it was drawn from.
        side: The name of that side; None when the media were not divided.
    """
    places = {s.place for s in film.shots}
    people = {f.person for s in film.shots for f in s.figures}
    style = film.style
    return {
        "format": FORMAT,
        "name": film.name,
        "seed": list(film.seed),
        "split": side,
        "width": film.width,
        "height": film.height,
        "rate": f"{film.rate.numerator}/{film.rate.denominator}",
        "frames": film.frames,
        "style": {
            "crf": style.crf,
            "preset": style.preset,
            "shape": round(style.shape, 4),
            "grain": round(style.grain, 3),
            "sound": style.sound,
            "sound_codec": style.sound_codec,
            "sample_rate": style.sample_rate,
            "bit_rate": style.bit_rate,
            "stereo": style.stereo,
            "cutoff": style.cutoff,
            "gain": round(style.gain, 3),
        },
        "units": {
            "places": sorted({p.unit for p in library.places if p.name in places}),
            "people": sorted({p.unit for p in library.people if p.name in people}),
            **{
                name: sorted({e.unit for e in film.sounds if e.layer == layer})
                for name, layer in (
                    ("speech", "speech"),
                    ("ambience", "ambience"),
                    ("music", "music"),
                    ("effects", "effects"),
                )
            },
        },
        "places": sorted(places),
        "scenes": [
            {
                "start": _seconds(film, s.first),
                "end": _seconds(film, s.end),
                "shots": s.shots,
                "kind": s.kind,
                "relation": s.relation,
                "places": list(s.places),
                "people": list(s.people),
            }
            for s in film.scenes
        ],
        "sounds": [
            {
                "layer": e.layer,
                "file": e.path.name,
                "start": round(e.start, 3),
                "end": round(e.end, 3),
                "level": round(e.level, 2),
            }
            for e in film.sounds
        ],
    }


def write_description(facts: Mapping[str, object], path: Path) -> None:
    """Writes facts as JSON with sorted keys."""
    path.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", "utf-8")


def _seconds(film: FilmPlan, frame: int) -> str:
    return f"{float(film.seconds(frame)):.6f}"


def _write(path: Path, header: tuple[str, ...], rows: Iterable[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
