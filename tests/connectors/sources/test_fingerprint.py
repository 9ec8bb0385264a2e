from __future__ import annotations

import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.connectors.sources.file import PIECE, FileFingerprint

CONTENT = random.Random(4).randbytes(3 * PIECE)


def beginning(path: Path) -> FileFingerprint:
    with path.open("rb") as file:
        return FileFingerprint.of(file.fileno())


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files") / "a.ts"


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(CONTENT)), st.integers(0, len(CONTENT)))
def test_a_file_that_grows_is_known_again_and_one_that_shrinks_is_not(
    path: Path, size: int, later: int
) -> None:
    path.write_bytes(CONTENT[:size])
    known = beginning(path)
    path.unlink()
    path.write_bytes(CONTENT[:later])
    assert known.matches(path) is (later >= size)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, len(CONTENT)), st.integers(0, 2**32))
def test_another_recording_is_not_taken_for_the_old_one(path: Path, size: int, seed: int) -> None:
    path.write_bytes(CONTENT[:size])
    known = beginning(path)
    path.write_bytes(bytes(255 - byte for byte in CONTENT))
    assert not known.matches(path)
    path.write_bytes(random.Random(seed).randbytes(max(PIECE, size)))
    assert size < 8 or not known.matches(path)


def test_a_recorder_that_writes_its_header_anew_at_the_end_changes_nothing(path: Path) -> None:
    path.write_bytes(CONTENT)
    known = beginning(path)
    with path.open("r+b") as file:
        file.write(b"how long it became, and where the key pictures are")
    assert known.matches(path)


def test_what_is_not_there_cannot_be_known_again(path: Path) -> None:
    path.write_bytes(CONTENT)
    known = beginning(path)
    gone = path.with_name("gone.ts")
    assert not known.matches(gone)
    os.mkfifo(gone)
    assert not known.matches(gone)
