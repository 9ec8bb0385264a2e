"""Cuts come out when they were made, to the frame, whatever the timestamps look like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from av.video.stream import VideoStream
from hypothesis import given
from hypothesis import strategies as st

from streamer.connectors.sources.file import FileSource, GrowingSource
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.decode.timestamps import BROADCAST_TICK, WRAP_SECONDS, Regimes, StreamClock
from streamer.errors import SourceClosed
from streamer.shots.base import ShotOptions
from streamer.shots.signature import Signer
from streamer.shots.thumbnails import ShotSplitter
from streamer.timeline import Picture, Sound
from tests.media import Clip, Pixels, Recipe, Tone, frames_of, still, texture, write_film

SHOTS = (40, 35, 45, 30)
WRAP = 2**33
TICKS = Fraction(1, 90000)
SETTINGS = DecodeOptions(threads=1)


def pictures(rate: Fraction = Fraction(25), first: int = 0) -> Iterator[Pixels]:
    clips = [Clip(still(texture(first + k, 160, 90)), n) for k, n in enumerate(SHOTS)]
    return frames_of(clips, rate)


def made(rate: Fraction) -> list[Fraction]:
    """Cut times of one film from its first picture."""
    return [sum(SHOTS[:k]) / rate for k in range(1, len(SHOTS))]


def split(items: Iterable[Picture | Sound], rate: Fraction | None) -> tuple[list[Fraction], int]:
    """Cut times from the first picture, and how many pictures there were."""
    splitter, signer = ShotSplitter(ShotOptions(), rate), Signer()
    cuts: list[Fraction] = []
    shown: list[Fraction] = []
    last = None
    for item in items:
        if isinstance(item, Picture):
            closed = splitter.push(item.start, signer.sign(item.frame)).closed
            cuts += [shot.end.seconds for shot in closed]
            shown.append(item.start.seconds)
            last = item.start
    assert last is not None
    cuts += [shot.end.seconds for shot in splitter.finish(last) if shot.ended_by != "end"]
    assert all(before < after for before, after in pairwise(shown))
    return [cut - shown[0] for cut in cuts], len(shown)


class Feed(GrowingSource):
    """A file read as if a network sent it without end."""

    @property
    def endless(self) -> bool:
        return True


def found(path: Path, *, growing: bool = False) -> tuple[list[Fraction], int, Decoder]:
    source = GrowingSource(path, 0.2) if growing else FileSource(path)
    with Decoder(source, SETTINGS) as decoder:
        cuts, count = split(decoder, decoder.info.frame_rate)
        return cuts, count, decoder


def agree(cuts: list[Fraction], wanted: list[Fraction], rate: Fraction) -> None:
    assert len(cuts) == len(wanted), (list(map(float, cuts)), list(map(float, wanted)))
    for cut, true in zip(cuts, wanted, strict=True):
        assert abs(cut - true) < 1 / rate, (float(cut), float(true))


@pytest.mark.slow
@pytest.mark.parametrize(
    "rate",
    [Fraction(50), Fraction(60000, 1001), Fraction(24000, 1001), Fraction(30000, 1001)],
    ids=["50", "59.94", "23.976", "29.97"],
)
@pytest.mark.parametrize("name", ["film.ts", "film.mp4", "film.mkv"])
def test_frame_rates(tmp_path: Path, rate: Fraction, name: str) -> None:
    recipe = Recipe(rate=rate, codec="libx264", options={"preset": "veryfast", "bf": "2"})
    write_film(tmp_path / name, pictures(rate), recipe)
    cuts, count, _ = found(tmp_path / name)
    assert count == sum(SHOTS)
    agree(cuts, made(rate), rate)


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
def test_a_variable_frame_rate(tmp_path: Path, name: str) -> None:
    # Pauses of one to five frames of 25 a second, long enough to tell frame numbers from times.
    times = [0]
    for number in range(1, sum(SHOTS)):
        times.append(times[-1] + (40, 80, 40, 120, 200)[number % 5])
    recipe = Recipe(codec="libx264", time_base=Fraction(1, 1000), times=times)
    write_film(tmp_path / name, pictures(), recipe)
    cuts, count, _ = found(tmp_path / name)
    assert count == sum(SHOTS)
    assert cuts == [Fraction(times[sum(SHOTS[:k])], 1000) for k in range(1, len(SHOTS))]


def broadcast(
    path: Path, start: Fraction, *, sound: Fraction | None = None, first: int = 0
) -> None:
    """A transport stream whose timestamps begin at a given second."""
    rate = Fraction(25)
    seconds = float(sum(SHOTS) / rate)
    recipe = Recipe(
        codec="libx264",
        options={"bf": "2", "g": "12", "preset": "veryfast"},
        time_base=TICKS,
        start=round(start / TICKS),
        sound=Tone(seconds, float(start if sound is None else sound), codec="mp2"),
        container_options={"muxdelay": "0", "muxpreload": "0"},
    )
    write_film(path, pictures(rate, first), recipe)


@pytest.mark.slow
@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("before", [Fraction(1), Fraction(3), Fraction(5)])
def test_timestamps_of_33_bits_begin_anew(tmp_path: Path, before: Fraction, growing: bool) -> None:
    path = tmp_path / "wrap.ts"
    broadcast(path, WRAP * TICKS - before)
    cuts, count, decoder = found(path, growing=growing)
    assert count >= sum(SHOTS) - 1
    agree(cuts, made(Fraction(25)), Fraction(25))
    assert decoder.stats.restarts == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("starts", "feed"),
    [((100, 5, 2), False), ((100, 5, 2), True), ((5, 500, 20000, 7), True)],
    ids=["file back", "feed back", "feed back and forth"],
)
def test_jumps_are_no_gaps_and_no_repeats(
    tmp_path: Path, starts: tuple[int, ...], feed: bool
) -> None:
    # A recorder that was restarted, each time with another clock.
    whole = b""
    for number, start in enumerate(starts):
        broadcast(tmp_path / "part.ts", Fraction(start), first=4 * number)
        whole += (tmp_path / "part.ts").read_bytes()
    path = tmp_path / "all.ts"
    path.write_bytes(whole)
    source = Feed(path, 0.2) if feed else FileSource(path)
    rate = Fraction(25)
    items: list[Picture | Sound] = []
    with Decoder(source, SETTINGS) as decoder, suppress(SourceClosed):
        items.extend(decoder)
    cuts, _ = split(items, rate)
    length = sum(SHOTS) / rate
    begins = [k * length for k in range(len(starts))]
    wanted = [begin + cut for begin in begins for cut in (Fraction(0), *made(rate))][1:]
    assert decoder.stats.restarts == len(starts) - 1
    agree(cuts, wanted, rate)


def test_a_step_forward_in_a_file_is_a_gap(tmp_path: Path) -> None:
    for number, start in enumerate((5, 65)):
        broadcast(tmp_path / f"{number}.ts", Fraction(start), first=4 * number)
    path = tmp_path / "all.ts"
    path.write_bytes(b"".join((tmp_path / f"{k}.ts").read_bytes() for k in range(2)))
    cuts, _, decoder = found(path)
    wanted = [*made(Fraction(25)), Fraction(60), *(60 + cut for cut in made(Fraction(25)))]
    # The cut across the gap is where the pictures begin again.
    assert decoder.stats.restarts == 0
    assert [cut for cut in cuts if cut >= 60] == pytest.approx(wanted[3:], abs=0.04)


@pytest.mark.parametrize("sound", [Fraction(9), Fraction(10), Fraction(11)])
def test_sound_and_picture_with_other_origins_keep_their_distance(
    tmp_path: Path, sound: Fraction
) -> None:
    path = tmp_path / "apart.ts"
    broadcast(path, Fraction(10), sound=sound)
    with Decoder(FileSource(path), SETTINGS) as decoder:
        items = list(decoder)
    picture = next(item for item in items if isinstance(item, Picture))
    heard = next(item for item in items if isinstance(item, Sound))
    assert heard.start.seconds - picture.start.seconds == pytest.approx(float(sound - 10), abs=0.05)
    agree(split(items, Fraction(25))[0], made(Fraction(25)), Fraction(25))


def test_pictures_of_a_broadcast_may_begin_long_after_the_sound(tmp_path: Path) -> None:
    path = tmp_path / "late.ts"
    recipe = Recipe(
        codec="libx264",
        options={"bf": "0", "g": "12"},
        time_base=TICKS,
        start=round(20 / TICKS),
        sound=Tone(27.0, codec="mp2"),
    )
    write_film(path, pictures(), recipe)
    with Decoder(FileSource(path), SETTINGS) as decoder:
        assert decoder.info.has_picture
        assert decoder.info.frame_rate is None
        items = list(decoder)
    first = next(item for item in items if isinstance(item, Picture))
    assert first.start.seconds - items[0].start.seconds == pytest.approx(20, abs=0.1)
    agree(split(items, None)[0], made(Fraction(25)), Fraction(25))


def test_a_gap_keeps_its_length(tmp_path: Path) -> None:
    times = [number if number < 60 else number + 75 for number in range(sum(SHOTS))]
    write_film(tmp_path / "gap.mkv", pictures(), Recipe(codec="libx264", times=times))
    cuts, count, _ = found(tmp_path / "gap.mkv")
    assert count == sum(SHOTS)
    assert cuts == [Fraction(times[sum(SHOTS[:k])], 25) for k in range(1, len(SHOTS))]


def remux(
    source: Path, target: Path, change: Callable[[int, av.Packet[VideoStream]], None]
) -> None:
    with av.open(str(source)) as given, av.open(str(target), "w") as made:
        stream = given.streams.video[0]
        out = made.add_stream_from_template(stream)
        for number, packet in enumerate(given.demux(stream)):
            if packet.size:
                change(number, packet)
                packet.stream = out
                made.mux(packet)


def test_repeated_timestamps_drop_a_picture_and_keep_the_cuts(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mkv", pictures(), Recipe(codec="mjpeg", pixel_format="yuvj420p"))

    def repeat(number: int, packet: av.Packet[VideoStream]) -> None:
        if number % 20 == 10:
            assert packet.pts is not None
            packet.pts = packet.dts = packet.pts - 40

    remux(tmp_path / "film.mkv", tmp_path / "repeats.mkv", repeat)
    cuts, count, decoder = found(tmp_path / "repeats.mkv")
    assert decoder.stats.dropped_frames == 150 // 20
    assert count == 150 - decoder.stats.dropped_frames
    agree(cuts, made(Fraction(25)), Fraction(25))


@pytest.mark.parametrize("name", ["film.h264", "film.avi"])
def test_missing_timestamps_are_counted_on(tmp_path: Path, name: str) -> None:
    recipe = Recipe(codec="libx264", options={"bf": "0"}, pixel_format="yuv420p")
    if name.endswith("avi"):
        recipe = replace(recipe, codec="mpeg4", options={"bf": "2"})
    write_film(tmp_path / name, pictures(), recipe)
    cuts, count, decoder = found(tmp_path / name)
    assert count >= sum(SHOTS) - 1
    agree(cuts, made(Fraction(25)), Fraction(25))
    assert decoder.end == pytest.approx(6.0, abs=0.1)


@given(
    before=st.integers(90001, 90000 * 25),
    after=st.integers(90001, 90000 * 25),
    lead=st.integers(-90000, 90000),
    wraps=st.integers(1, 3),
)
def test_a_wrap_adds_exactly_its_length_for_sound_and_picture(
    before: int, after: int, lead: int, wraps: int
) -> None:
    regimes = Regimes()
    shown, heard = StreamClock(regimes, tolerant=False), StreamClock(regimes, tolerant=True)
    ticks = [WRAP // 4]
    for turn in range(1, wraps + 1):
        ticks += [turn * WRAP - WRAP // 3, turn * WRAP - before, turn * WRAP + after]
    for tick in ticks:
        for clock, at in ((shown, tick), (heard, tick + lead)):
            placed = clock.stamp(at % WRAP, None, Fraction(1, 25), TICKS)
            assert placed is not None
            assert placed.pts == at
    assert shown.restarts == wraps
    assert WRAP * BROADCAST_TICK == WRAP_SECONDS
