"""Hostile inputs out of good ones, each determined by its seed."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.media import Recipe, Tone, texture, write_film

EXTREMES: Final = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFE)
WORDS: Final = (
    b"file:///etc/passwd", b"http://127.0.0.1:1/x", b"../../../x", b"#EXT-X-ENDLIST\n",
    b"#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n", b"#EXTINF:-1,\n", b"#EXTINF:1e308,\n",
    b"#EXT-X-BYTERANGE:9999999999@9999999999\n", b"#EXT-X-MEDIA-SEQUENCE:99999999999999999999\n",
    b"#EXT-X-DISCONTINUITY\n", b"#EXT-X-STREAM-INF:BANDWIDTH=1\n",
    b"#EXT-X-MAP:URI=\"list.m3u8\"\n",
    b"list.m3u8\n", b"concat:a|b\n", b"\x00", b"%s%n", b"d=\"99999999999\"", b"r=\"-1\"",
    b"timescale=\"0\"", b"$Number%999999999d$", b"<!ENTITY a \"aaaa\">", b"t=\"-1\"",
)  # fmt: skip
NUMBER_OR_NAME: Final = re.compile(rb"[0-9]+(?:\.[0-9]+)?|[0-9A-Za-z$]+\.(?:ts|mp4)|PT[0-9.]+S")
VALUES: Final = (
    b"0", b"-1", b"1", b"2", b"0.0001", b"99999999999999", b"1e400", b"nan", b"", b"3.ts",
    b"film.mp4",
    b"$Time$.mp4", b"$Number%099d$", b"$$", b"PT0S", b"P9999999D", b"http://127.0.0.1:1/x", b"..",
    b"file:///etc/hostname", b"list.m3u8", b"list.mpd", b"9" * 5000, b"0x" + b"f" * 5000,
    b"x" * 140_000, b"\"\\u0000\"", b"00:00:00:99999999999999999999", b"1979-05-27", b"[[x]]",
)  # fmt: skip


def seeds(folder: Path) -> dict[str, bytes]:
    """Small good inputs of every kind.

    Args:
        folder: For them.

    Returns:
        File name → bytes.
    """
    pictures = [texture(k // 8, 64, 48) for k in range(24)]
    base = Recipe(codec="libx264", options={"preset": "ultrafast", "g": "8"}, sound=Tone(0.96))
    fragments = {"movflags": "frag_keyframe+empty_moov"}
    recipes = {
        "film.ts": base,
        "film.mp4": base,
        "frag.mp4": replace(base, container_options=fragments),
        "film.mkv": base,
        "film.avi": replace(base, codec="mpeg4", options={}, sound=Tone(0.96, codec="mp2")),
        "film.flv": base,
        "film.webm": replace(
            base,
            codec="libvpx",
            options={"deadline": "realtime"},
            sound=Tone(0.96, codec="libopus"),
        ),
    }
    found = {}
    for name, recipe in recipes.items():
        write_film(folder / name, pictures, recipe)
        found[name] = (folder / name).read_bytes()
    segments = "".join(f"#EXTINF:0.96,\n{k}.ts\n" for k in range(3))
    head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n"
    date = "#EXT-X-PROGRAM-DATE-TIME:2026-03-01T20:15:00.000Z\n"
    found["list.m3u8"] = f"{head}{date}{segments}#EXT-X-ENDLIST\n".encode()
    timeline = '<S t="0" d="960"/>'
    found["list.mpd"] = (
        '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT0.96S"><Period><AdaptationSet contentType="video">'
        '<SegmentTemplate timescale="1000" media="$Number$.mp4" startNumber="0">'
        f"<SegmentTimeline>{timeline}</SegmentTimeline></SegmentTemplate>"
        '<Representation id="a" bandwidth="1"/></AdaptationSet></Period></MPD>'
    ).encode()
    return found


def mutated(good: bytes, seed: int, *, text: bool = False) -> bytes:
    """One hostile version of an input.

    Args:
        good: A working input.
        seed: Decides everything.
        text: Half of the inputs keep their grammar, and only numbers and names in it change.
    """
    rng = random.Random(seed)
    if text and rng.random() < 0.5:
        return _reworded(good, rng)
    data = bytearray(good)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        _change(data, rng)
    return bytes(data)


def _reworded(good: bytes, rng: random.Random) -> bytes:
    found = list(NUMBER_OR_NAME.finditer(good))
    data = good
    for one in sorted(rng.sample(found, min(len(found), rng.choice((1, 1, 2, 4)))), key=_end):
        # From the end, so that earlier places stay where they are.
        value = rng.choice(VALUES)
        data = data[: one.start()] + value + data[one.end() :]
    return data


def _end(found: re.Match[bytes]) -> int:
    return -found.end()


def _change(data: bytearray, rng: random.Random) -> None:
    # Headers decide most, so a share of all changes is near the start.
    reach = len(data) if rng.random() < 0.7 else min(len(data), 600)
    at = rng.randrange(max(1, reach))
    match rng.randrange(8):
        case 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        case 1:
            data[at : at + 1] = bytes([(data[at] if at < len(data) else 0) ^ 1 << rng.randrange(8)])
        case 2:
            data[at : at + 4] = rng.choice(EXTREMES).to_bytes(4, rng.choice(("big", "little")))
        case 3:
            length = rng.randrange(1, 400)
            other = rng.randrange(max(1, len(data)))
            data[at:at] = data[other : other + length]
        case 4:
            del data[at : at + rng.randrange(1, 400)]
        case 5:
            del data[max(1, at if rng.random() < 0.3 else len(data) * 2 // 3) :]
        case 6:
            data[at:at] = rng.choice(WORDS)
        case _:
            data[at : at + rng.randrange(1, 200)] = rng.randbytes(rng.randrange(1, 200))
