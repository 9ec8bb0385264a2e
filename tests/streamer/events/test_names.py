"""Names that are derived from locations."""

from __future__ import annotations

import unicodedata
from pathlib import PurePath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from streamer.events.names import default_stream_name


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("/films/the_film-1999.mkv", "the_film-1999"),
        ("/films/The Film (1999).mkv", "The-Film-1999-a0535b"),
        ("-", "stdin"),
        ("film.tar.gz", "film.tar"),
        ("Amélie.mp4", "Amélie"),
        ("Ame\u0301lie.mp4", "Amélie"),
        ("映画1.mp4", "映画1"),
        ("हिन्दी.mp4", "हिन्दी"),
        ("rtsp://user:secret@camera.local:554/live/1?token=abc", "camera.local-live-1"),
        ("rtmp://live.example/app/SECRETKEY?x=1", "live.example-app-0133e444"),
        ("http://[broken", "stream"),
        ("...", "stream"),
        ("", "stream"),
        ("a" * 200 + ".mp4", "a" * 200),
    ],
)
def test_known_names(location: str, name: str) -> None:
    assert default_stream_name(location) == name


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("映画 1.mp4", "東京 1.mp4"),
        ("映画.mp4", "電影.mp4"),
        ("Amélie.mp4", "Amelie.mp4"),
        ("a b.mp4", "a-b.mp4"),
        ("film (1).mp4", "film [1].mp4"),
        ("a" * 300 + "b.mp4", "a" * 300 + "c.mp4"),
        ("?.mp4", "!.mp4"),
        ("\udc80.mp4", "\udc81.mp4"),
    ],
)
def test_two_films_have_two_names(one: str, other: str) -> None:
    assert default_stream_name(one) != default_stream_name(other)


@pytest.mark.slow
@given(st.text())
def test_every_name_is_safe(location: str) -> None:
    name = default_stream_name(location)
    assert 1 <= len(name) <= 200
    assert all(letter in "._-" or unicodedata.category(letter)[0] in "LNM" for letter in name)
    assert default_stream_name(f"{name}.mp4") == name


NAMES = st.text(min_size=1, max_size=12).filter(lambda name: not set("/\0") & set(name))


@pytest.mark.slow
@given(NAMES, NAMES)
def test_files_of_other_names_have_other_names(one: str, other: str) -> None:
    stems = [unicodedata.normalize("NFC", PurePath(f"{name}.mp4").stem) for name in (one, other)]
    # Names without a letter or digit are no names.
    assume(stems[0] != stems[1] and all(stem.strip("-. ") for stem in stems))
    assert default_stream_name(f"{one}.mp4") != default_stream_name(f"{other}.mp4")
