"""Pictures that are rare and timestamps that leap: what is kept, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from streamer.extractor import ClipInput, Extractor, PictureInput, SoundInput
from streamer.pipeline.embedder import ShotEmbedder
from streamer.pipeline.resume_point import ResumePoint
from streamer.shots.base import ShotOptions
from streamer.timeline import EmbeddedShot, Picture, Sound, StreamInfo, Timestamp
from tests.extractors import Mean
from tests.media import texture

MS = Fraction(1, 1000)
RATE = 16000
BLOCK = 3200
YEARS = 10 * 365 * 86400
HEARD = SoundInput(RATE, 15600, 15360)


def extractors() -> list[Extractor]:
    return [
        Mean("place", PictureInput(8, 8, Fraction(2))),
        Mean("action", ClipInput(4, 4, 5, Fraction(1, 50))),
        Mean("vggish", HEARD),
        Mean("openl3", SoundInput(22050, 66150, 66150)),
    ]


def picture(at: Fraction, seed: int, lasts: Fraction | None = None) -> Picture:
    frame = av.VideoFrame.from_ndarray(texture(seed, 64, 36), "rgb24").reformat(format="yuv420p")
    if lasts is not None:
        frame.time_base, frame.duration = MS, round(lasts / MS)
    return Picture(Timestamp(round(at / MS), MS), frame)


def tone(at: Fraction) -> Sound:
    start = round(at * RATE)
    wave = 0.3 * np.sin(0.05 * (start % (RATE * 1000) + np.arange(BLOCK)))
    frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "flt", "mono")
    frame.sample_rate = RATE
    return Sound(Timestamp(start, Fraction(1, RATE)), frame)


def blocks(start: int, seconds: int) -> list[Sound]:
    count = seconds * RATE // BLOCK
    return [tone(start + Fraction(index * BLOCK, RATE)) for index in range(count)]


def never(window: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.zeros(len(window), np.float32)


def embedder(
    shots: ShotOptions | None = None,
    *,
    pictures: bool = True,
    sound: bool = True,
    resume: ResumePoint | None = None,
) -> ShotEmbedder:
    return ShotEmbedder(
        StreamInfo(pictures, sound, None, None, "test", "raw", "raw", 64, 36),
        extractors(),
        shots or ShotOptions(),
        batch=4,
        resume=resume,
        shot_network=never,
    )


def embed(
    items: Sequence[Picture | Sound],
    shots: ShotOptions | None = None,
    *,
    pictures: bool = True,
) -> tuple[list[EmbeddedShot], ShotEmbedder]:
    sound = any(isinstance(item, Sound) for item in items)
    used = embedder(shots, pictures=pictures, sound=sound)
    done = [shot for item in items for shot in used.push(item)]
    done += used.finish()
    assert [each.shot.index for each in done] == list(range(len(done)))
    assert all(a.shot.end.seconds == b.shot.start.seconds for a, b in pairwise(done))
    return done, used


def in_turn(*streams: Sequence[Picture | Sound]) -> list[Picture | Sound]:
    """As a demuxer would give them; where times are equal the first stream comes first."""
    return sorted((item for each in streams for item in each), key=lambda item: item.start.seconds)


def windows_of(shot: EmbeddedShot) -> float:
    """Windows of sound that a shot has when all of it was heard; give or take one."""
    return float(shot.shot.duration) * RATE / HEARD.hop


@pytest.mark.slow
@pytest.mark.parametrize("declared", [False, True])
@pytest.mark.parametrize("every", [5, 16, 20, 28, 40])
@pytest.mark.parametrize("detector", ["thumbnails", "transnetv2"])
def test_rare_pictures_cost_no_sound(detector: str, every: int, declared: bool) -> None:
    total = max(120, every * 12)
    shown = [
        picture(Fraction(at), at, Fraction(every) if declared else None)
        for at in range(0, total, every)
    ]
    shots = ShotOptions(detector=detector)
    done, used = embed(in_turn(shown, blocks(0, total)), shots)
    assert len(done) > 3
    for each in done:
        assert abs(len(each.tokens.get("vggish", ())) - windows_of(each)) < 1.5, each.shot
    assert used.lost_sound == 0


def test_a_picture_that_is_said_to_last_for_years_does_not_hold_sound_back() -> None:
    shown = [picture(Fraction(0), 1, Fraction(1, 25)), picture(Fraction(1), 1, Fraction(YEARS))]
    done, used = embed(in_turn(shown, blocks(0, 300)))
    assert done[0].shot.ended_by == "forced"
    assert done[0].shot.end.seconds == 31
    assert {each.shot.ended_by for each in done[1:-1]} == {"window"}
    for each in done:
        assert abs(len(each.tokens.get("vggish", ())) - windows_of(each)) < 1.5, each.shot
    assert used.lost_sound == 0


def test_sound_that_has_to_be_given_up_is_counted() -> None:
    first = [picture(Fraction(index, 25), index // 50) for index in range(200)]
    whole = embedder()
    closed = [shot.shot for item in first for shot in whole.push(item)]
    mark = whole.mark(closed[0].index)
    # Taken up again, but the picture at the mark does not come for two minutes.
    again = embedder(resume=mark)
    for item in blocks(2, 120):
        again.push(item)
    # Kept are 83 seconds by the settings, and twice the longest window, which is 3.
    assert 30 < again.lost_sound < 37


def pairs(start: int, seconds: int, seed: int) -> Iterator[tuple[list[Picture], list[Sound]]]:
    shown = [picture(start + Fraction(index, 25), seed) for index in range(25 * seconds)]
    yield shown, blocks(start, seconds)


@pytest.mark.slow
@pytest.mark.parametrize("detector", ["thumbnails", "transnetv2"])
@pytest.mark.parametrize("order", ["pictures first", "sound first", "pictures", "sound"])
def test_a_leap_of_years_costs_little_and_is_one_shot(detector: str, order: str) -> None:
    items: list[Picture | Sound] = []
    for start, seed in ((0, 1), (YEARS, 2)):
        ((shown, heard),) = pairs(start, 6, seed)
        parts: list[Sequence[Picture | Sound]] = [] if order == "sound" else [shown]
        parts += [] if order == "pictures" else [heard]
        items += in_turn(*(reversed(parts) if order == "sound first" else parts))
    shots = ShotOptions(detector=detector)
    began = time.process_time()
    done, used = embed(items, shots, pictures=order != "sound")
    assert time.process_time() - began < 5.0
    assert len(done) <= 7
    assert sum(each.shot.duration > 60 for each in done) == 1
    if order != "pictures":
        # Six seconds on either side, less what lies across a cut or the edge of a window.
        assert sum(len(each.tokens.get("vggish", ())) for each in done) >= 9
    assert used.lost_sound == 0
