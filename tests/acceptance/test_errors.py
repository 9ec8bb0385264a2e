"""What goes wrong is one line and an exit code, and what was found before is kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from streamer.models.weights.store import WeightStore
from tests.acceptance.command import EVERYTHING, Outcome, Tail
from tests.acceptance.films import RATE, SHOTS, pictures
from tests.media import Recipe, Tone, write_film


def refused(done: Outcome, code: int, *words: str) -> None:
    """One line, no traceback, nothing else."""
    assert (done.code, done.events) == (code, []), done.errors
    assert done.errors.startswith("error: ")
    assert done.errors.count("\n") == 1
    for word in words:
        assert word in done.errors


def test_what_is_no_film(tail: Tail, tmp_path: Path) -> None:
    text, empty, folder = tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.mp4"
    text.write_bytes(b"This is no film.\n" * 50)
    empty.touch()
    folder.mkdir()
    refused(tail(text), 25, "a.mp4", "not a media file")
    refused(tail(empty), 24, "b.mp4", "zero bytes")
    refused(tail(folder), 22, "c.mp4", "folder")
    refused(tail(tmp_path / "d.mp4"), 21, "d.mp4", "no such file")
    refused(tail(text, "--follow", "--idle-timeout", "0.1"), 25, "a.mp4")
    refused(tail(empty, "--follow", "--idle-timeout", "0.1"), 24, "b.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_film_that_may_not_be_read(tail: Tail, film: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    shutil.copy(film, path)
    path.chmod(0)
    refused(tail(path), 23, "film.mkv", "may not be read")


def test_a_film_that_may_not_be_read_by_the_system_call(
    tail: Tail, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    refused(tail(film), 23, "film.mkv", "may not be read")


def test_a_codec_that_nobody_knows(tail: Tail, silent_film: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    data = silent_film.read_bytes()
    assert data.count(b"V_MPEG4/ISO/ASP") == 1
    path.write_bytes(data.replace(b"V_MPEG4/ISO/ASP", b"V_MARTIAN/X/ABC"))
    refused(tail(path), 27, "film.mkv", "no decoder")


def test_settings_are_refused_with_their_key(tail: Tail, film: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[shots]\nmax_second = 3\n")
    refused(tail(film, "--config", file), 10, "settings.toml", "shots.max_second")
    file.write_text('[shots]\nmax_seconds = "12"\n')
    refused(tail(film, "--config", file), 10, "settings.toml", "shots.max_seconds", "number")
    refused(tail(film, "--threshold", "2"), 2, "'--threshold'", "from 0 to 1")
    refused(tail(film, "--emit", "boundaries,nonsense"), 2, "'--emit'")


def test_weights_that_are_missing_or_corrupted(
    tail: Tail,
    film: Path,
    tmp_path: Path,
    weight_store: WeightStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("STREAMER_HOME", str(home))
    monkeypatch.setenv("STREAMER__RUNTIME__OFFLINE", "true")
    refused(tail(film), 31, "streamer weights pull")
    shutil.copytree(weight_store.path("yamnet").parent, home / "weights")
    victim = home / "weights" / weight_store.path("yamnet").name
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.unlink()
    victim.write_bytes(data)
    refused(tail(film), 32, "yamnet")


def test_a_checkpoint_that_is_missing_or_corrupted(tail: Tail, film: Path, tmp_path: Path) -> None:
    path = tmp_path / "moae.safetensors"
    refused(tail(film, "--checkpoint", path), 35, "moae.safetensors")
    path.write_bytes(Path(tail.checkpoint).read_bytes()[:5000])
    refused(tail(film, "--checkpoint", path), 35, "moae.safetensors")


def test_a_checkpoint_for_another_network(
    tail: Tail, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER__ASPECTS__PLACE__NETWORK", "yamnet")
    refused(tail(film), 10, "aspects.place.network")


def test_networks_and_aspects_that_cannot_be_are_named(
    tail: Tail, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER__ASPECTS__PLACE__NETWORK", "nope")
    refused(tail(film), 10, "aspects.place.network", "nope")
    monkeypatch.delenv("STREAMER__ASPECTS__PLACE__NETWORK")
    for name in ("place", "speaker", "vggish", "panns", "openl3", "musicnn"):
        monkeypatch.setenv(f"STREAMER__ASPECTS__{name.upper()}__ENABLED", "false")
    refused(tail(film), 10, "aspects: enable at least one")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(tail: Tail, film: Path) -> None:
    refused(tail(film, "--device", "cuda"), 40, "CUDA")


def test_an_output_that_cannot_be_written(tail: Tail, film: Path, tmp_path: Path) -> None:
    refused(tail(film, "--output", tmp_path / "no" / "events.jsonl"), 50, "events.jsonl")


@pytest.mark.parametrize("code", [25, 28])
def test_a_traceback_only_on_request(tail: Tail, tmp_path: Path, code: int) -> None:
    path = tmp_path / "film.mp4"
    write_film(path, pictures(2), Recipe())
    data = path.read_bytes()
    path.write_bytes(data[:2000] if code == 28 else b"no film" * 99)
    refused(tail(path), code)
    told = tail(path, "--debug")
    assert told.code == code
    assert "Traceback" in told.errors
    assert told.errors.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
def test_a_truncated_film_keeps_its_events(tail: Tail, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    write_film(
        path, pictures(), Recipe(rate=RATE, sound=Tone(SHOTS * 1.2), container_options=options)
    )
    everything = ("--threshold", "0", *EVERYTHING)
    whole = tail(path, *everything)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    cut = tail(path, *everything)
    assert cut.code == 28
    assert "damaged input" in cut.errors
    assert "Traceback" not in cut.errors
    last = cut.errors.splitlines()[-1]
    assert last.startswith("error: ")
    assert "damaged at" in last
    # The last shot ends at the damage; all before it are those of the whole film.
    kept = len(cut.shots) - 1
    assert kept >= 3
    for mine, whole_one in zip(cut.shots[:kept], whole.shots[:kept], strict=True):
        assert (mine["pts"], mine["end_pts"]) == (whole_one["pts"], whole_one["end_pts"])
    assert len(cut.boundaries) == kept
    assert cut.shots[-1]["ended_by"] == "end"
    # A boundary is judged with the shots after it: those that saw the same are the same.
    same = [data["boundary_index"] for data in cut.boundaries if data["lookahead_shots"] == 3]
    assert same
    for index in range(max(same)):
        assert cut.scores[index] == pytest.approx(whole.scores[index], abs=1e-5)
    ids = [e["id"] for e in whole.events if e["type"].endswith("boundary.v1")]
    assert [e["id"] for e in cut.events if e["type"].endswith("boundary.v1")] == ids[:kept]


def test_garbage_in_the_middle_is_survived(tail: Tail, tmp_path: Path) -> None:
    path = tmp_path / "film.ts"
    write_film(path, pictures(), Recipe(codec="mpeg2video", sound=Tone(SHOTS * 1.2)))
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : third + 9000] = bytes(9000)
    path.write_bytes(data)
    done = tail(path, "--threshold", "0", *EVERYTHING)
    assert done.code in {0, 28}
    assert len(done.boundaries) == len(done.shots) - 1 >= SHOTS - 2
    assert "Traceback" not in done.errors
