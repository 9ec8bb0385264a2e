from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from streamer.connectors.sources.file import FileSource
from streamer.connectors.sources.stdin import PipeSource
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.timeline import Sound
from tests.decoding import (
    B_FRAMES,
    SETTINGS,
    brightness,
    collect,
    decode,
    film,
)
from tests.media import Recipe, Tone, texture, write_film


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
    one = decode(path, DecodeOptions(threads=1))
    four = decode(path, DecodeOptions(threads=4))
    assert one.seconds == four.seconds
    for a, b in zip(one.pictures, four.pictures, strict=True):
        np.testing.assert_array_equal(a.frame.to_ndarray(), b.frame.to_ndarray())


def test_tags_in_an_old_encoding_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_film(path, film(5))
    data = path.read_bytes()
    assert b"Lavf" in data
    path.write_bytes(data.replace(b"Lavf", b"L\xe4vf"))
    assert len(decode(path).pictures) == 5


def test_iterating_needs_an_open_decoder(tmp_path: Path) -> None:
    decoder = Decoder(PipeSource(0), SETTINGS)
    with pytest.raises(ValueError, match="not open"):
        next(iter(decoder))
    with pytest.raises(ValueError, match="not open"):
        _ = decoder.info
