"""What is no film, or none that can be decoded, is said so."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from streamer.connectors.sources.file import FileSource
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import (
    NotMedia,
    NoUsableStream,
    UnknownCodec,
)
from tests.decoding import (
    SETTINGS,
    collect,
    film,
)
from tests.media import Recipe, Tone, texture, write_film


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
    tight = DecodeOptions(max_pixels=100 * 100)
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
