"""Damaged inputs give all that they have, and are said to be damaged."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.connectors.sources.file import FileSource, GrowingSource
from streamer.connectors.sources.stdin import PipeSource
from streamer.decode.decoder import Decoder
from streamer.errors import (
    SourceDamaged,
    SourceError,
)
from streamer.shots.base import ShotOptions
from streamer.shots.detector import ThumbnailDetector
from streamer.timeline import Picture, Shot, Sound
from tests.decoding import SETTINGS, brightness, collect, film
from tests.media import Clip, Recipe, Tone, frames_of, panning, write_film


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("a.mp4", Recipe(codec="libx264", container_options={"movflags": "faststart"})),
        ("a.mkv", Recipe(codec="libx264")),
        ("a.webm", Recipe(codec="libvpx", options={"deadline": "realtime"})),
    ],
)
def test_a_truncated_file_gives_all_it_has_and_then_says_where_it_ends(
    tmp_path: Path, name: str, recipe: Recipe
) -> None:
    codec = "libopus" if name == "a.webm" else "aac"
    write_film(tmp_path / name, film(150), replace(recipe, sound=Tone(6.0, codec=codec)))
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 6 // 10])
    seen: list[Picture | Sound] = []
    with Decoder(FileSource(tmp_path / name), SETTINGS) as decoder:
        with pytest.raises(SourceDamaged, match=r"damaged at \d+\.\d s") as caught:
            seen.extend(decoder)
        reached = decoder.end
    assert "\n" not in str(caught.value)
    assert len([i for i in seen if isinstance(i, Picture)]) > 40
    assert f"{float(reached):.1f} s of 6.0 s" in str(caught.value)


def test_an_mp4_without_its_index_is_damaged_not_foreign(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_film(path, film(50))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(SourceDamaged, match="index"), Decoder(FileSource(path), SETTINGS):
        pass


def test_garbage_in_the_middle_is_survived_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_film(path, film(100), Recipe(codec="mpeg4", options={"g": "10"}))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat")
    third = (len(data) - start) // 3
    noise = np.random.default_rng(1).integers(0, 256, third, dtype=np.uint8).tobytes()
    data[start + third : start + 2 * third] = noise
    path.write_bytes(bytes(data))
    seen: list[Picture | Sound] = []
    with Decoder(FileSource(path), SETTINGS) as decoder, pytest.raises(SourceDamaged):
        seen.extend(decoder)
    times = [item.start.seconds for item in seen]
    assert times == sorted(set(times))
    assert times[-1] > Fraction(3)


@pytest.mark.parametrize("seed", range(24))
def test_damage_of_any_kind_ends_in_order_or_in_a_source_error(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    name = ("a.mp4", "a.mkv", "a.ts", "a.avi")[seed % 4]
    path = tmp_path / name
    tone = Tone(1.2, codec="mp2" if name == "a.avi" else "aac")
    write_film(path, film(30, 96, 54), Recipe(codec="mpeg4", sound=tone))
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    reach = len(data) if seed % 3 else 1500
    data[rng.integers(0, reach, 2 ** (seed % 9))] = rng.integers(0, 256, 2 ** (seed % 9))
    path.write_bytes(data.tobytes())
    latest: dict[type, Fraction] = {}
    told = ""
    try:
        with Decoder(FileSource(path), SETTINGS) as decoder:
            for item in decoder:
                assert item.start.seconds > latest.get(type(item), Fraction(-(10**9)))
                latest[type(item)] = item.start.seconds
    except SourceError as error:
        told = str(error)
    assert "\n" not in told


def test_a_broadcast_cut_within_a_packet_is_told(tmp_path: Path) -> None:
    whole = tmp_path / "whole.ts"
    write_film(whole, film(50), Recipe(codec="mpeg2video", sound=Tone(2.0, codec="mp2")))
    with Decoder(FileSource(whole), SETTINGS) as decoder:
        assert decoder.warnings == ()
    cut = tmp_path / "cut.ts"
    cut.write_bytes(whole.read_bytes()[:-100])
    with Decoder(FileSource(cut), SETTINGS) as decoder:
        assert "cut short" in decoder.warnings[0]
        assert len(collect(decoder).pictures) >= 49
    # Packets of Blu-ray, with four bytes of time before each.
    data = whole.read_bytes()
    timed = b"".join(bytes(4) + data[at : at + 188] for at in range(0, len(data), 188))
    for name, content, warned in (("a.m2ts", timed, 0), ("b.m2ts", timed[:-10], 1)):
        (tmp_path / name).write_bytes(content)
        with Decoder(FileSource(tmp_path / name), SETTINGS) as decoder:
            assert len(decoder.warnings) == warned


@contextmanager
def piped(data: bytes) -> Iterator[int]:
    """A pipe that somebody writes these bytes into and closes."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield reading
    finally:
        os.close(reading)
        writer.join()


def test_a_pipe_or_followed_file_of_which_nothing_can_be_decoded_is_no_success(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.mp4"
    write_film(path, film(50), Recipe(codec="libx264", sound=Tone(2.0)))
    with (
        piped(path.read_bytes()) as pipe,
        Decoder(PipeSource(pipe), SETTINGS) as decoder,
        pytest.raises(SourceDamaged, match=r"moov.* a pipe cannot go back.*faststart"),
    ):
        collect(decoder)
    with (
        Decoder(GrowingSource(path, 0.1), SETTINGS) as decoder,
        pytest.raises(SourceDamaged, match=r"moov.* without following it"),
    ):
        collect(decoder)


@pytest.mark.parametrize(
    ("name", "options", "until"),
    [
        ("a.mkv", {}, b"\x1f\x43\xb6\x75"),
        ("a.mp4", {"movflags": "frag_keyframe+empty_moov"}, b"moof"),
    ],
)
def test_a_pipe_that_ends_behind_its_header_is_no_success(
    tmp_path: Path, name: str, options: dict[str, str], until: bytes
) -> None:
    write_film(
        tmp_path / name,
        film(50),
        Recipe(codec="libx264", sound=Tone(2.0), container_options=options),
    )
    data = (tmp_path / name).read_bytes()
    with (
        piped(data[: data.index(until) + 12]) as pipe,
        pytest.raises(SourceDamaged, match="nothing in it could be decoded"),
        Decoder(PipeSource(pipe), SETTINGS) as decoder,
    ):
        collect(decoder)


def test_a_pipe_that_is_stopped_before_its_first_frame_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_film(path, film(50), Recipe(codec="libx264", sound=Tone(2.0)))
    with piped(path.read_bytes()) as pipe, Decoder(PipeSource(pipe), SETTINGS) as decoder:
        decoder.stop()
        assert collect(decoder).pictures == []


def test_a_packet_without_data_is_no_damage(tmp_path: Path) -> None:
    path, empty = tmp_path / "a.nut", range(10, 20)
    write_film(tmp_path / "a.mkv", film(30), Recipe(codec="mpeg4"))
    with av.open(str(tmp_path / "a.mkv")) as container, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(container.streams.video[0])
        for packet in container.demux():
            if packet.pts is None:
                continue
            number = packet.pts // 40
            kept = av.Packet(b"") if number in empty else packet
            kept.pts, kept.dts, kept.time_base = packet.pts, packet.pts, packet.time_base
            kept.stream = stream
            output.mux(kept)
    with Decoder(FileSource(path), SETTINGS) as decoder:
        found = collect(decoder)
        assert decoder.stats.failed_packets == 0
    assert found.seconds == [Fraction(n, 25) for n in range(30) if n not in empty]


def test_theora_repeats_a_picture_by_a_packet_without_data() -> None:
    # FFmpeg's encoder made it of three still shots of 20 pictures; PyAV's library has none.
    path = Path(__file__).with_name("repeats.ogv")
    with av.open(str(path)) as container:
        sizes = [packet.size for packet in container.demux() if packet.pts is not None]
    assert (len(sizes), sizes.count(0)) == (53, 47)
    with Decoder(FileSource(path), SETTINGS) as decoder:
        found = collect(decoder)
        assert decoder.stats.failed_packets == decoder.stats.corrupt_frames == 0
    assert found.seconds == [Fraction(n, 25) for n in range(53)]
    levels = [brightness(picture) for picture in found.pictures]
    cuts = [n for n in range(1, 53) if abs(levels[n] - levels[n - 1]) > 1.0]
    assert cuts == [20, 40]


def test_a_cut_is_placed_at_a_whole_picture(tmp_path: Path) -> None:
    """Bytes in large packets are destroyed, that of the new shot's first picture among them."""
    path = tmp_path / "a.mkv"
    clips = [Clip(panning(seed, 192, 112, speed=0.3), 100) for seed in (7, 8)]
    recipe = Recipe(codec="mpeg2video", options={"g": "50"})
    write_film(path, frames_of(clips, Fraction(25)), recipe)
    whole = path.read_bytes()
    data = bytearray(whole)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux() if packet.size > 150]
    for packet in packets[3:]:
        at = whole.index(packet[60:150])
        data[at : at + 20] = bytes(37 * k % 256 for k in range(20))
    path.write_bytes(bytes(data))
    detector = ThumbnailDetector(ShotOptions(), Fraction(25))
    shots: list[Shot] = []
    damaged: list[Fraction] = []
    with Decoder(FileSource(path), SETTINGS) as decoder:
        for item in decoder:
            if isinstance(item, Picture):
                damaged += [item.start.seconds] if item.frame.is_corrupt else []
                shots += detector.push(item).closed
        assert decoder.stats.corrupt_frames == len(damaged) > 2
    assert Fraction(4) in damaged
    assert [shot.end.seconds for shot in shots] == [Fraction(101, 25)]


@pytest.mark.parametrize("seconds", [1, 6, 30])
def test_a_last_picture_that_is_shown_long_is_no_damage(tmp_path: Path, seconds: int) -> None:
    """Slides: the header counts how long the last one is shown, its packet does not."""
    path = tmp_path / "a.mkv"
    recipe = Recipe(rate=Fraction(1), codec="libx264", options={"bf": "0"})
    write_film(path, film(8, shot=2), recipe)
    data = bytearray(path.read_bytes())
    at = data.index(b"DURATION") + len(b"DURATION") + 3
    assert data[at : at + 8] == b"00:00:08"
    data[at : at + 8] = b"00:00:%02d" % (8 + seconds)
    path.write_bytes(bytes(data))
    with Decoder(FileSource(path), SETTINGS) as decoder:
        assert len(collect(decoder).pictures) == 8
    path.write_bytes(bytes(data[:-20]))
    with (
        Decoder(FileSource(path), SETTINGS) as decoder,
        pytest.raises(SourceDamaged, match=r"ends at 8.0 s of"),
    ):
        collect(decoder)
