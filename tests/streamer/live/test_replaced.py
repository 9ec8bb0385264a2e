"""A file that is another one, or more of it, when its stream is run again."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from streamer.config.sections import SourceSection
from streamer.connectors.sources import file as growing
from streamer.errors import SourceDamaged
from streamer.live.reconnect import SourceFactory
from streamer.live.state import StateFile
from streamer.pipeline.progress import Disconnected
from tests.acceptance.films import pictures
from tests.media import Recipe, Tone, write_film
from tests.streamer.live.engine import Collected, Run, kept, kinds
from tests.streamer.live.test_stream import EVERYTHING, Noted, whole

if TYPE_CHECKING:
    from pathlib import Path

    from cloudevents.core.v1.event import CloudEvent

    from streamer.events.payload import EventData
    from streamer.pipeline.engine import Engine
    from streamer.pipeline.progress import Notice

__all__ = ["whole"]

FOLLOWED = EVERYTHING.model_copy(update={"source": SourceSection(follow=True, idle_timeout=0.3)})


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another recording, of fourteen shots."""
    path = tmp_path_factory.mktemp("other") / "film.ts"
    recipe = Recipe(rate=Fraction(25), codec="mpeg2video", sound=Tone(14 * 1.2))
    write_film(path, pictures(14, 30, 96, 64, seed=50), recipe)
    return path


@dataclass
class Stopping(Collected):
    """Stops the run at its n-th shot, as a service does that is told to leave."""

    after: int = 10**9
    run: Run | None = None

    def add(self, event: CloudEvent) -> None:
        super().add(event)
        if kinds(self.events).count("shot") == self.after and self.run is not None:
            self.run.stop(final=False)


def go(
    engine: Engine, path: Path, folder: Path, shots: int = 10**9, settings: Any = FOLLOWED
) -> tuple[Stopping, Noted]:
    sink, noted = Stopping(after=shots), Noted()
    sink.run = Run(
        "film", SourceFactory(str(path), settings.source), settings, engine, [sink], noted,
        retry_unreachable=True, **kept(folder, "film", engine, settings),
    )  # fmt: skip
    sink.run.run()
    return sink, noted


def shots_of(sink: Collected) -> list[dict[str, Any]]:
    events = [event for event in sink.events if ".shot." in str(event.get_type())]
    return [event.get_data() for event in events]  # type: ignore[misc] # always an object here


@pytest.mark.slow
@pytest.mark.parametrize("settings", [FOLLOWED, EVERYTHING], ids=["followed", "finished"])
@pytest.mark.parametrize("read", [6, 10**9], ids=["on the way", "at its end"])
def test_a_file_that_was_replaced_meanwhile_is_read_from_its_start_in_a_new_epoch(
    engine: Engine, film: Path, other: Path, tmp_path: Path, read: int, settings: Any
) -> None:
    path, state = tmp_path / "today.ts", tmp_path / "state"
    shutil.copy(film, path)
    first, _ = go(engine, path, state, read, settings)
    path.unlink()
    shutil.copy(other, path)
    second, noted = go(engine, path, state, settings=settings)
    (gap,) = noted.gaps
    assert (gap.reason, gap.previous_epoch, gap.epoch) == ("rotated", 0, 1)
    assert gap.lost_from.time is not None
    assert [(shot["epoch"], shot["shot_index"]) for shot in shots_of(second)] == [
        (1, index) for index in range(14)
    ]
    assert not set(first.ids) & set(second.ids)
    # What is at its end now stays so.
    third, _ = go(engine, path, state, settings=settings)
    assert third.events == []


def test_a_followed_file_that_is_replaced_is_read_on_in_a_new_epoch(
    engine: Engine, film: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "ROTATION_SECONDS", 0.2)
    path, state = tmp_path / "today.ts", tmp_path / "state"
    shutil.copy(film, path)

    class Replacing(Collected):
        def add(self, event: CloudEvent) -> None:
            super().add(event)
            if kinds(self.events).count("shot") == 3 and path.stat().st_ino == inode:
                path.rename(tmp_path / "yesterday.ts")
                shutil.copy(other, path)

    inode = path.stat().st_ino
    settings = EVERYTHING.model_copy(
        update={"source": SourceSection(follow=True, idle_timeout=1.0)}
    )
    sink, noted = Replacing(), Noted()
    Run(
        "film", SourceFactory(str(path), settings.source), settings, engine, [sink], noted,
        **kept(state, "film", engine, settings),
    ).run()  # fmt: skip
    assert [reason for reason, _ in noted.losses] == ["rotated"]
    assert [(gap.reason, gap.epoch) for gap in noted.gaps] == [("rotated", 1)]
    wanted = [(0, index) for index in range(12)] + [(1, index) for index in range(14)]
    assert [(shot["epoch"], shot["shot_index"]) for shot in shots_of(sink)] == wanted
    # The state knows the new file.
    again, _ = go(engine, path, state, settings=settings)
    assert again.events == []


def test_a_file_that_was_cut_short_meanwhile_is_another_one(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    path, state = tmp_path / "today.ts", tmp_path / "state"
    shutil.copy(film, path)
    go(engine, path, state, 6)
    data = film.read_bytes()
    path.write_bytes(data[: len(data) // 2 // 188 * 188])
    _, noted = go(engine, path, state)
    assert [gap.reason for gap in noted.gaps] == ["rotated"]


@pytest.mark.slow
def test_a_file_that_grew_or_was_copied_back_goes_on(
    engine: Engine, film: Path, whole: Collected, tmp_path: Path
) -> None:
    path, state = tmp_path / "today.ts", tmp_path / "state"
    data = film.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    first, _ = go(engine, path, state, 4)
    path.rename(tmp_path / "moved.ts")
    path.write_bytes(data)
    second, noted = go(engine, path, state)
    assert noted.gaps == []
    assert list(dict.fromkeys(first.ids + second.ids)) == whole.ids


def test_a_file_is_looked_at_when_it_is_there_again(
    engine: Engine, film: Path, other: Path, tmp_path: Path
) -> None:
    path, state = tmp_path / "today.ts", tmp_path / "state"
    shutil.copy(film, path)
    go(engine, path, state, 6)
    path.unlink()

    class Late(Noted):
        def __call__(self, event: EventData | Notice) -> None:
            super().__call__(event)
            if isinstance(event, Disconnected) and not path.exists():
                shutil.copy(other, path)

    sink, noted = Stopping(), Late()
    Run(
        "film", SourceFactory(str(path), FOLLOWED.source), FOLLOWED, engine, [sink], noted,
        retry_unreachable=True, **kept(state, "film", engine, FOLLOWED),
    ).run()  # fmt: skip
    assert [gap.reason for gap in noted.gaps] == ["rotated"]
    assert len(shots_of(sink)) == 14


@pytest.mark.slow
def test_a_film_that_was_half_copied_is_read_on_when_it_is_whole(
    engine: Engine, film: Path, tmp_path: Path
) -> None:
    path, state = tmp_path / "film.mkv", tmp_path / "state"
    words = ["ffmpeg", "-loglevel", "error", "-i", film, "-c", "copy", path]
    subprocess.run(list(map(str, words)), check=True, timeout=60)
    undisturbed, _ = go(engine, path, tmp_path / "undisturbed", settings=EVERYTHING)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    first = []
    for _ in range(2):
        with pytest.raises(SourceDamaged):
            go(engine, path, state, settings=EVERYTHING)
        saved = StateFile(state, "film").load()
        assert saved is not None
        assert not saved.head.ended
        first.append(saved.head.shots)
    assert first[0] == first[1] > 4
    path.write_bytes(data)
    second, noted = go(engine, path, state, settings=EVERYTHING)
    assert noted.gaps == []
    shots = [(shot["shot_index"], shot["end_seconds"]) for shot in shots_of(undisturbed)]
    assert [(shot["shot_index"], shot["end_seconds"]) for shot in shots_of(second)] == [
        shot for shot in shots if shot[0] >= first[0]
    ]
    assert set(second.ids) <= set(undisturbed.ids)
    saved = StateFile(state, "film").load()
    assert saved is not None
    assert saved.head.ended
    assert (saved.head.shots, saved.head.scenes) == (12, kinds(undisturbed.events).count("scene"))
