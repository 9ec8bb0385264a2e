"""Names that are derived from locations."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.events.names import default_stream_name


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("/films/The Film (1999).mkv", "The-Film-1999"),
        ("-", "stdin"),
        ("film.tar.gz", "film.tar"),
        ("Amélie.mp4", "Amelie"),
        ("rtsp://user:secret@camera.local:554/live/1?token=abc", "camera.local-live-1"),
        ("rtmp://live.example/app/SECRETKEY?x=1", "live.example-app-0133e444"),
        ("http://[broken", "stream"),
        ("...", "stream"),
        ("", "stream"),
        ("a" * 300 + ".mp4", "a" * 200),
    ],
)
def test_known_names(location: str, name: str) -> None:
    assert default_stream_name(location) == name


def test_names_without_latin_letters_stay_apart() -> None:
    assert default_stream_name("映画.mp4") != default_stream_name("電影.mp4")


@pytest.mark.slow
@given(st.text())
def test_every_name_is_safe(location: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,200}", default_stream_name(location))
