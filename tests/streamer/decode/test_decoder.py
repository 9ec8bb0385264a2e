from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from connectors.sources.file import FileSource
from connectors.sources.growing import GrowingSource
from connectors.sources.stdin import PipeSource
from streamer.config.sections import DecodeSection
from streamer.decode.decoder import Decoder
from streamer.errors import (
    NotMedia,
    NoUsableStream,
    SourceDamaged,
    SourceEmpty,
    SourceError,
    UnknownCodec,
)
from streamer.timeline import Picture, Sound
from tests.media import Clip, Pixels, Recipe, Tone, frames_of, still, texture, write_film

SETTINGS = DecodeSection()
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


def decode(path: Path, settings: DecodeSection = SETTINGS) -> Decoded:
    with Decoder(FileSource(path), settings) as decoder:
        return collect(decoder)


def film(count: int, width: int = 192, height: int = 108, shot: int = 20) -> list[Pixels]:
    clips = [Clip(still(texture(k, width, height)), shot) for k in range(-(-count // shot))]
    return list(frames_of(clips, Fraction(25)))[:count]


def brightness(picture: Picture) -> float:
    return float(picture.frame.reformat(format="gray").to_ndarray().mean())


@pytest.mark.parametrize(
    ("name", "recipe"),
    [
        ("mpeg4.mp4", Recipe(codec="mpeg4")),
        ("h264_b.mp4", Recipe(codec="libx264", options=B_FRAMES)),
        ("h264_b.mkv", Recipe(codec="libx264", options=B_FRAMES)),
        ("h264_b.ts", Recipe(codec="libx264", options=B_FRAMES)),
        ("film.mp4", Recipe(rate=Fraction(24000, 1001), codec="libx264", options=B_FRAMES)),
        ("film.mkv", Recipe(rate=Fraction(24000, 1001), codec="mpeg4")),
        ("fast.mp4", Recipe(rate=Fraction(60000, 1001), codec="libx264", options=B_FRAMES)),
        ("fast.ts", Recipe(rate=Fraction(60000, 1001), codec="mpeg2video")),
        ("slow.mkv", Recipe(rate=Fraction(10), codec="mpeg4")),
        (
            "vp9.webm",
            Recipe(codec="libvpx-vp9", options={"deadline": "realtime", "cpu-used": "8"}),
        ),
        ("ten_bit.mkv", Recipe(codec="libx265", pixel_format="yuv420p10le")),
        ("b.avi", Recipe(codec="mpeg4", options={"bf": "2"})),
    ],
)
def test_every_picture_comes_once_in_order_at_its_exact_time(
    tmp_path: Path, name: str, recipe: Recipe
) -> None:
    pictures = film(50)
    write_film(tmp_path / name, pictures, recipe)
    found = decode(tmp_path / name)
    assert len(found.pictures) == 50
    first, tick = found.seconds[0], found.pictures[0].start.time_base
    exact = [k / recipe.rate for k in range(50)]
    off = [abs(s - first - e) for s, e in zip(found.seconds, exact, strict=True)]
    assert max(off) <= (0 if (1 / recipe.rate) % tick == 0 else tick)
    # The order is that of presentation: each picture is the one that was encoded.
    wanted = [float(np.mean(p @ (0.299, 0.587, 0.114))) for p in pictures]
    seen = [brightness(p) for p in found.pictures]
    assert np.corrcoef(wanted, seen)[0, 1] > 0.99


def test_start_edit_list_and_b_frames_keep_the_container_s_own_clock(tmp_path: Path) -> None:
    path = tmp_path / "late.mp4"
    write_film(
        path,
        film(30),
        Recipe(codec="libx264", options=B_FRAMES, start=75, sound=Tone(1.2, start=3.0)),
    )
    found = decode(path)
    assert found.seconds == [3 + Fraction(k, 25) for k in range(30)]
    assert abs(found.sounds[0].start.seconds - 3) < Fraction(1, 20)


def test_variable_frame_rate(tmp_path: Path) -> None:
    ticks = [0, 40, 57, 300, 310, 1500, 1517, 2600]
    base = Fraction(1, 1000)
    for name in ("vfr.mkv", "vfr.mp4"):
        recipe = Recipe(time_base=base, times=ticks, codec="libx264", options=B_FRAMES)
        write_film(tmp_path / name, film(len(ticks)), recipe)
        assert decode(tmp_path / name).seconds == [t * base for t in ticks]


def test_sound_and_picture_come_from_one_demuxer_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "both.mp4"
    write_film(path, film(100), Recipe(codec="libx264", sound=Tone(4.0, layout="stereo")))
    with Decoder(FileSource(path), SETTINGS) as decoder:
        info = decoder.info
        assert info.has_picture
        assert info.has_sound
        assert info.frame_rate == 25
        assert (info.width, info.height) == (192, 108)
        assert (info.picture_codec, info.sound_codec) == ("h264", "aac")
        assert info.duration is not None
        assert abs(info.duration - 4) < Fraction(1, 10)
        heard = shown = Fraction(0)
        for item in decoder:
            if isinstance(item, Sound):
                heard = item.start.seconds
            else:
                shown = item.start.seconds
            assert abs(heard - shown) < 1
        assert abs(decoder.end - 4) < Fraction(1, 10)
        assert decoder.warnings == ()


def test_sound_is_gapless_to_the_sample(tmp_path: Path) -> None:
    path = tmp_path / "sound.mkv"
    write_film(path, [], Recipe(codec=None, sound=Tone(2.0, codec="flac", rate=8000)))
    found = decode(path)
    assert not found.pictures
    assert sum(s.frame.samples for s in found.sounds) == 16000
    at = Fraction(0)
    for sound in found.sounds:
        assert abs(sound.start.seconds - at) <= Fraction(1, 1000)
        at += Fraction(sound.frame.samples, sound.frame.sample_rate)


def test_pictures_only_and_sound_only(tmp_path: Path) -> None:
    write_film(tmp_path / "mute.mp4", film(10))
    with Decoder(FileSource(tmp_path / "mute.mp4"), SETTINGS) as decoder:
        assert (decoder.info.has_picture, decoder.info.has_sound) == (True, False)
        assert len(collect(decoder).pictures) == 10
    tone = Tone(1.0, codec="pcm_s16le", rate=96000, layout="5.1")
    write_film(tmp_path / "blind.wav", [], Recipe(codec=None, sound=tone))
    with Decoder(FileSource(tmp_path / "blind.wav"), SETTINGS) as decoder:
        assert (decoder.info.has_picture, decoder.info.has_sound) == (False, True)
        assert decoder.info.frame_rate is None
        assert sum(s.frame.samples for s in collect(decoder).sounds) == 96000


def test_cover_art_is_not_the_film(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as output:
        cover = output.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 640, 480, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        real = output.add_stream("mpeg4", rate=25)
        real.width, real.height, real.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(texture(1, 640, 480), format="rgb24")
        for packet in [*cover.encode(frame.reformat(format="yuvj420p")), *cover.encode(None)]:
            output.mux(packet)
        for number in range(5):
            small = frame.reformat(64, 48, "yuv420p")
            small.pts, small.time_base = number, Fraction(1, 25)
            output.mux(real.encode(small))
        output.mux(real.encode(None))
    with Decoder(FileSource(path), SETTINGS) as decoder:
        assert (decoder.info.width, decoder.info.height) == (64, 48)
        assert len(collect(decoder).pictures) == 5


@pytest.mark.parametrize(("width", "height"), [(16, 16), (50, 38), (854, 480)])
def test_sizes(tmp_path: Path, width: int, height: int) -> None:
    write_film(tmp_path / "a.mkv", film(4, width, height))
    assert {p.frame.width for p in decode(tmp_path / "a.mkv").pictures} == {width}


def test_odd_sizes(tmp_path: Path) -> None:
    recipe = Recipe(codec="libx264", pixel_format="yuv444p")
    write_film(tmp_path / "a.mkv", film(4, 97, 53), recipe)
    assert {(p.frame.width, p.frame.height) for p in decode(tmp_path / "a.mkv").pictures} == {
        (97, 53)
    }


def test_size_may_change_on_the_way(tmp_path: Path) -> None:
    small, large = tmp_path / "small.ts", tmp_path / "large.ts"
    write_film(small, film(10, 96, 64), Recipe(codec="mpeg2video"))
    write_film(large, film(10, 192, 128), Recipe(codec="mpeg2video", start=20))
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    widths = [p.frame.width for p in decode(both).pictures]
    assert widths[0] == 96
    assert widths[-1] == 192
    # The picture at the join may be lost, as any player would lose it.
    assert len(widths) >= 19


def test_joined_recordings_go_on_in_time(tmp_path: Path) -> None:
    one = tmp_path / "one.ts"
    recipe = Recipe(codec="mpeg2video", sound=Tone(3.0, codec="mp2"))
    write_film(one, film(75), recipe)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(one.read_bytes() * 2)
    with Decoder(FileSource(joined), SETTINGS) as decoder:
        seconds = collect(decoder).seconds
        assert decoder.stats.restarts == 1
    assert len(seconds) == 150
    assert seconds == sorted(set(seconds))
    assert seconds[-1] - seconds[0] == pytest.approx(5.96, abs=0.1)


def test_threads_do_not_change_what_comes_out(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_film(path, film(60), Recipe(codec="libx264", options=B_FRAMES, sound=Tone(2.4)))
    one = decode(path, DecodeSection(threads=1))
    four = decode(path, DecodeSection(threads=4))
    assert one.seconds == four.seconds
    for a, b in zip(one.pictures, four.pictures, strict=True):
        np.testing.assert_array_equal(a.frame.to_ndarray(), b.frame.to_ndarray())


def growing_film(tmp_path: Path, name: str, options: dict[str, str]) -> bytes:
    path = tmp_path / name
    recipe = Recipe(
        codec="libx264", options={"g": "25"}, container_options=options, sound=Tone(8.0)
    )
    write_film(path, film(200), recipe)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.ts", {}),
        ("a.mp4", {"movflags": "frag_keyframe+empty_moov"}),
        ("a.mkv", {"live": "1"}),
        ("a.flv", {"flvflags": "no_duration_filesize"}),
    ],
)
def test_a_growing_file_is_followed_to_its_end(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    data = growing_film(tmp_path, name, options)
    path = tmp_path / ("growing_" + name)
    path.touch()
    halfway, cut = threading.Event(), int(len(data) * 0.6)

    def record() -> None:
        with path.open("ab", buffering=0) as file:
            for at in range(0, cut, 1000):
                file.write(data[at : min(cut, at + 1000)])
            assert halfway.wait(60)
            file.write(data[cut:])

    recorder = threading.Thread(target=record)
    recorder.start()
    times = []
    with Decoder(GrowingSource(path, idle_timeout=1.0), SETTINGS) as decoder:
        assert decoder.info.duration is None
        for item in decoder:
            if isinstance(item, Picture):
                times.append(item.start.seconds)
                if len(times) == 40:
                    halfway.set()
    recorder.join()
    assert len(times) == 200
    assert times[-1] - times[0] == Fraction(199, 25)


def test_stop_ends_a_growing_file_without_damage(tmp_path: Path) -> None:
    data = growing_film(tmp_path, "a.ts", {})
    path = tmp_path / "growing.ts"
    path.write_bytes(data[: len(data) // 2])
    seen = 0
    with Decoder(GrowingSource(path, idle_timeout=3600.0), SETTINGS) as decoder:
        for item in decoder:
            seen += isinstance(item, Picture)
            if seen == 30:
                decoder.stop()
    assert 30 <= seen < 110


def test_a_followed_file_that_stays_empty_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.touch()
    with pytest.raises(SourceEmpty), Decoder(GrowingSource(path, 0.1), SETTINGS):
        pass


def test_standard_input_through_a_real_pipe(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_film(path, film(50), Recipe(codec="libx264", sound=Tone(2.0)))
    program = (
        "import sys\n"
        "from connectors.sources.stdin import PipeSource\n"
        "from streamer.config.sections import DecodeSection\n"
        "from streamer.decode.decoder import Decoder\n"
        "from streamer.timeline import Picture\n"
        "with Decoder(PipeSource(0), DecodeSection()) as decoder:\n"
        "    times = [i.start.seconds for i in decoder if isinstance(i, Picture)]\n"
        "print(len(times), times[-1])\n"
    )
    with path.open("rb") as film_file:
        cat = subprocess.Popen(["cat"], stdin=film_file, stdout=subprocess.PIPE)
    with (
        cat,
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=cat.stdout, stdout=subprocess.PIPE, text=True
        ) as reader,
    ):
        assert cat.stdout is not None
        cat.stdout.close()
        told, _ = reader.communicate(timeout=120)
    assert told.split() == ["50", "49/25"]


def test_realtime_takes_as_long_as_the_film_and_sound_does_not_hold_it_up(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.mp4"
    write_film(path, film(20), Recipe(codec="libx264", sound=Tone(0.8)))
    late = []
    with Decoder(FileSource(path), SETTINGS, realtime=True) as decoder:
        for item in decoder:
            if isinstance(item, Picture):
                due = decoder.due(item.start)
                assert due is not None
                late.append(time.monotonic() - due)
    assert min(late) >= -1e-3


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
    seen = []
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
    seen = []
    with Decoder(FileSource(path), SETTINGS) as decoder, pytest.raises(SourceDamaged):
        seen.extend(decoder)
    times = [item.start.seconds for item in seen]
    assert times == sorted(set(times))
    assert times[-1] > Fraction(3)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.txt", b"This is no film.\n" * 50),
        ("text.mp4", b"This is no film.\n" * 50),
        ("noise.mkv", np.random.default_rng(3).integers(0, 256, 5000, np.uint8).tobytes()),
        ("page.html", b"<html><body>no</body></html>"),
        ("subs.srt", b"1\n00:00:00,000 --> 00:00:01,000\nhello\n"),
    ],
)
def test_what_is_not_media_is_said_so(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NotMedia), Decoder(FileSource(tmp_path / name), SETTINGS):
        pass


def test_playlists_cannot_open_other_files(tmp_path: Path) -> None:
    write_film(tmp_path / "film.ts", film(10), Recipe(codec="mpeg2video"))
    playlists = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.4,\nfilm.ts\n#EXT-X-ENDLIST\n",
        "list.ffconcat": "ffconcat version 1.0\nfile film.ts\n",
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(NotMedia), Decoder(FileSource(tmp_path / name), SETTINGS):
            pass


def test_a_still_picture_is_no_film(tmp_path: Path) -> None:
    path = tmp_path / "a_%03d.jpg"
    frame = av.VideoFrame.from_ndarray(texture(1, 64, 48), format="rgb24")
    frame.save(str(tmp_path / "plain.jpg"))
    path.write_bytes((tmp_path / "plain.jpg").read_bytes())
    with pytest.raises(NotMedia), Decoder(FileSource(path), SETTINGS):
        pass


def test_subtitles_alone_are_neither_picture_nor_sound(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_bytes(b"1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    path = tmp_path / "a.mkv"
    with av.open(str(tmp_path / "a.srt")) as subtitles, av.open(str(path), "w") as output:
        stream = output.add_stream_from_template(subtitles.streams.subtitles[0])
        for packet in subtitles.demux(subtitles.streams.subtitles[0]):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    with pytest.raises(NoUsableStream), Decoder(FileSource(path), SETTINGS):
        pass


def forge_codec(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))


def test_an_unknown_codec_is_named_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_film(path, film(10), Recipe(codec="libx264"))
    forge_codec(path, b"V_MPEG4/ISO/AVC", b"V_MARTIAN/X/ABC")
    with pytest.raises(UnknownCodec), Decoder(FileSource(path), SETTINGS):
        pass


def test_pictures_go_on_when_the_sound_cannot_be_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_film(path, film(25), Recipe(codec="libx264", sound=Tone(1.0, codec="flac")))
    forge_codec(path, b"A_FLAC", b"A_XLAC")
    with Decoder(FileSource(path), SETTINGS) as decoder:
        assert not decoder.info.has_sound
        assert len(decoder.warnings) == 1
        assert len(collect(decoder).pictures) == 25


def test_a_picture_that_is_too_large_is_not_decoded(tmp_path: Path) -> None:
    tight = DecodeSection(max_pixels=100 * 100)
    write_film(tmp_path / "mute.mp4", film(5))
    with (
        pytest.raises(NoUsableStream, match="max_pixels"),
        Decoder(FileSource(tmp_path / "mute.mp4"), tight),
    ):
        pass
    write_film(tmp_path / "both.mp4", film(5), Recipe(sound=Tone(1.0)))
    with Decoder(FileSource(tmp_path / "both.mp4"), tight) as decoder:
        found = collect(decoder)
        assert "max_pixels" in decoder.warnings[0]
    assert not found.pictures
    assert found.sounds


def test_tags_in_an_old_encoding_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_film(path, film(5))
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"L\xe4vf"))
    assert len(decode(path).pictures) == 5


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


def test_iterating_needs_an_open_decoder(tmp_path: Path) -> None:
    decoder = Decoder(PipeSource(0), SETTINGS)
    with pytest.raises(ValueError, match="not open"):
        next(iter(decoder))
    with pytest.raises(ValueError, match="not open"):
        _ = decoder.info
