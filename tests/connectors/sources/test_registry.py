from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from streamer.config.sections import SourceSection
from streamer.connectors.sources.file import FileSource, GrowingSource
from streamer.connectors.sources.registry import open_source
from streamer.connectors.sources.stdin import PipeSource
from streamer.errors import SourceEmpty, SourceNotFound

PLAIN, FOLLOW = SourceSection(), SourceSection(follow=True)


def test_each_location_gets_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"x")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert isinstance(open_source(str(film), PLAIN), FileSource)
    assert isinstance(open_source(str(film), FOLLOW), GrowingSource)
    assert isinstance(open_source(str(fifo), PLAIN), PipeSource)
    with film.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        source = open_source("-", PLAIN)
    assert isinstance(source, PipeSource)
    assert source.name == "-"
    assert source.live


def test_bad_paths_are_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(SourceNotFound):
        open_source(str(tmp_path / "absent"), PLAIN)
    with pytest.raises(SourceEmpty):
        open_source(str(tmp_path / "empty"), PLAIN)
    open_source(str(tmp_path / "empty"), FOLLOW)
