"""The same film as a file, a pipe, a growing file and at the speed of life; and being stopped."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.command import EVERYTHING, PATIENCE, Outcome, Tail, read_event
from tests.acceptance.films import RATE, SHOTS, pictures
from tests.media import Recipe, Tone, write_film
from tests.waiting import until

ALL = ("--name", "film", "--threshold", "0", *EVERYTHING)


@pytest.fixture(scope="session")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a recorder writes: an MPEG transport stream that starts at another time than 0."""
    path = tmp_path_factory.mktemp("film") / "recording.ts"
    recipe = Recipe(rate=RATE, codec="mpeg2video", sound=Tone(SHOTS * 1.2))
    write_film(path, pictures(), recipe)
    return path


@pytest.fixture(scope="session")
def fragmented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fragmented MP4, whose index comes piece by piece."""
    path = tmp_path_factory.mktemp("film") / "fragmented.mp4"
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    recipe = Recipe(rate=RATE, container_options=options, sound=Tone(SHOTS * 1.2))
    write_film(path, pictures(), recipe)
    return path


def same(one: Outcome, other: Outcome) -> None:
    assert one.ids == other.ids
    assert one.scores == pytest.approx(other.scores, abs=1e-5)
    for a, b in zip(one.boundaries, other.boundaries, strict=True):
        assert (a["pts"], a["time_base"], a["scene"]) == (b["pts"], b["time_base"], b["scene"])
        for mine, yours in zip(a["experts"], b["experts"], strict=True):
            assert mine["weight"] == pytest.approx(yours["weight"], abs=1e-5)
            assert mine["probability"] == pytest.approx(yours["probability"], abs=1e-5)


@pytest.mark.parametrize("kind", ["film", "recording", "fragmented"])
def test_a_pipe_and_a_growing_file_give_what_the_file_gives(
    tail: Tail, kind: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(kind)
    file = tail(path, *ALL)
    assert file.code == 0
    assert len(file.boundaries) == SHOTS - 1
    same(file, tail(path, *ALL))
    followed = tail(path, *ALL, "--follow", "--idle-timeout", "0.2")
    assert followed.code == 0
    same(file, followed)
    with path.open("rb") as bytes_, tail.start("-", *ALL, stdin=bytes_) as process:
        piped = process.finish()
    assert piped.code == 0
    same(file, piped)
    assert {data["wallclock"]["origin"] for data in piped.boundaries} == {"arrival"}


def test_a_pipe_of_unknown_name_is_called_stdin(tail: Tail, recording: Path) -> None:
    with (
        recording.open("rb") as film,
        tail.start("-", "--emit", "scenes", stdin=film) as process,
    ):
        done = process.finish()
    assert {scene["stream"] for scene in done.scenes} == {"stdin"}


def test_at_the_speed_of_life_events_come_while_it_plays(tail: Tail, film: Path) -> None:
    file = tail(film, *ALL)
    with tail.start(film, *ALL, "--realtime") as process:
        while process.next_event()["type"] == "dev.moae-streamer.shot.v1":
            pass
        assert process.child.poll() is None
        done = process.finish()
    assert done.code == 0
    same(file, done)


def test_events_of_a_growing_file_come_before_its_end(
    tail: Tail, recording: Path, tmp_path: Path
) -> None:
    data = recording.read_bytes()
    file = tail(recording, *ALL)
    path = tmp_path / "growing.ts"
    path.touch()
    with tail.start(path, *ALL, "--follow", "--idle-timeout", "3") as process:
        with path.open("ab", buffering=0) as recorder:
            step = len(data) // 50
            for at in range(0, 40 * step, step):
                recorder.write(data[at : at + step])
            early = [process.next_event() for _ in range(4)]
            recorder.write(data[40 * step :])
        done = process.finish()
    assert done.code == 0
    assert early[0]["type"] == "dev.moae-streamer.shot.v1"
    same(file, done)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_running_shot_and_loses_nothing(
    tail: Tail, film: Path, number: signal.Signals
) -> None:
    with tail.start(film, *ALL, "--realtime") as process:
        for _ in range(2):
            process.next_event()
        process.child.send_signal(number)
        done = process.finish()
    assert done.code == 130
    assert "interrupted" in done.errors
    assert "Traceback" not in done.errors
    assert 2 <= len(done.shots) < SHOTS
    assert done.shots[-1]["ended_by"] == "end"
    assert len(done.boundaries) == len(done.shots) - 1
    assert sum(scene["scene"]["shots"] for scene in done.scenes) == len(done.shots)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_how_following_ends(
    tail: Tail, recording: Path, number: signal.Signals
) -> None:
    with tail.start(recording, *ALL, "--follow", "--idle-timeout", "600") as process:
        process.next_event()
        process.child.send_signal(number)
        done = process.finish()
    assert done.code == 0
    assert "interrupted" in done.errors
    assert len(done.boundaries) == len(done.shots) - 1
    assert done.scenes[-1]["ended_by"] == "end"


def loads_networks(process: Path) -> bool:
    return "libtorch" in (process / "maps").read_text()


def reads(process: Path, file: Path) -> bool:
    with contextlib.suppress(OSError):
        return any(link.readlink() == file for link in (process / "fd").iterdir())
    return False


@pytest.mark.parametrize(("follow", "code"), [(True, 0), (False, 130)])
def test_a_signal_while_networks_are_loaded(
    tail: Tail, film: Path, follow: bool, code: int
) -> None:
    with tail.start(film, *["--follow"] * follow) as process:
        seen = Path(f"/proc/{process.child.pid}")
        until(lambda: loads_networks(seen), "networks that load", seconds=PATIENCE)
        process.child.send_signal(signal.SIGTERM)
        done = process.finish()
    assert (done.code, done.events, done.errors) == (code, [], "")


def test_a_signal_while_nothing_has_come(tail: Tail, tmp_path: Path) -> None:
    empty = tmp_path / "empty.ts"
    empty.touch()
    with tail.start(empty, "--follow", "--idle-timeout", "600") as process:
        seen = Path(f"/proc/{process.child.pid}")
        until(lambda: reads(seen, empty), "an open file", seconds=PATIENCE)
        process.child.send_signal(signal.SIGINT)
        done = process.finish()
    assert (done.code, done.events) == (0, [])
    assert "interrupted" in done.errors
    assert "error" not in done.errors


def test_a_reader_that_leaves_is_no_error(tail: Tail, recording: Path) -> None:
    words = tail.start("-", *ALL, "--quiet").command
    with (
        subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as writer,
        subprocess.Popen(["head", "-n", "1"], stdin=writer.stdout, stdout=subprocess.PIPE) as head,
    ):
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stderr is not None
        writer.stdout.close()
        with contextlib.suppress(BrokenPipeError):
            writer.stdin.write(recording.read_bytes())
            writer.stdin.flush()
        assert head.stdout is not None
        read_event(head.stdout.readline())
        # Its input is still open: the command has to notice by itself that nobody listens.
        assert writer.wait(PATIENCE) == 0
        assert writer.stderr.read() == b""
        with contextlib.suppress(BrokenPipeError):
            writer.stdin.close()
