from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest
from matplotlib.patches import Rectangle

from streamer.errors import SourceDamaged
from streamer.models.catalogue import EXPERT_ROWS
from streamer.models.tables.figures import rendered, stretches, weights_figure
from streamer.models.tables.frames import film_of, frames_at
from streamer.models.tables.results import WeightTrack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matplotlib.axes import Axes


def _track(shots: int, true: tuple[int, ...]) -> WeightTrack:
    names = tuple(row.name for row in EXPERT_ROWS)
    return WeightTrack(
        experts=names,
        start=tuple(range(shots)),
        end=tuple(range(1, shots + 1)),
        labels=tuple(index in true for index in range(shots - 1)),
        scores=(0.5,) * (shots - 1),
        weights=((0.1,) * len(names),) * (shots - 1),
    )


def _film(path: Path, seconds: int, rate: int = 10) -> None:
    """Second ``n`` is a plain grey of level ``20 * n + 20``."""
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for index in range(seconds * rate):
            level = 20 * (index // rate) + 20
            picture = np.full((32, 64, 3), level, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("shots", "true", "first"),
    [
        (8, (3,), [0]),
        (40, (), [15]),
        (100, (50,), [45]),
        (100, (10, 50, 90), [5, 45, 85]),
        (100, (50, 51, 52), [45]),
        (20, (0, 18), [0]),
    ],
)
def test_stretches_lie_around_true_boundaries(
    shots: int, true: tuple[int, ...], first: list[int]
) -> None:
    found = stretches(_track(shots, true))
    assert found[: len(first)] == first
    assert all(start >= 0 and start + 12 <= max(shots, 12) for start in found)
    assert all(b - a >= 12 for a, b in pairwise(found))


def bars(axes: Axes) -> Iterator[Rectangle]:
    for patch in axes.patches:
        assert isinstance(patch, Rectangle)
        yield patch


def test_weights_are_stacked_at_each_boundary() -> None:
    figure = weights_figure("heat", _track(9, (3,)), 0.5)
    shots, scores, weights = figure.axes
    assert len(shots.patches) == 9
    assert [bar.get_height() for bar in bars(scores)] == [0.5] * 8
    stacks = np.array([[bar.get_y(), bar.get_height()] for bar in bars(weights)])
    assert len(stacks) == 10 * 8
    assert stacks.sum(axis=1).max() == pytest.approx(1.0)
    assert rendered(figure, "png").startswith(b"\x89PNG")
    again = weights_figure("heat", _track(9, (3,)), 0.5)
    assert rendered(weights_figure("heat", _track(9, (3,)), 0.5), "svg") == rendered(again, "svg")


def test_key_frames_are_those_of_the_times(tmp_path: Path) -> None:
    _film(tmp_path / "heat.mp4", 6)
    (tmp_path / "heat.json").write_text("{}")
    film = film_of(tmp_path, "heat")
    assert film == tmp_path / "heat.mp4"
    pictures = frames_at(film, [0.5, 4.5, 2.05, 99.0])
    assert all(picture.shape == (80, 160, 3) for picture in pictures)
    assert [picture.mean() for picture in pictures] == pytest.approx([20, 100, 60, 120], abs=4)
    figure = weights_figure("heat", _track(5, (2,)), 0.5, lambda times: frames_at(film, times))
    assert len(figure.axes[0].images) == 5


def test_films_that_cannot_be_shown(tmp_path: Path) -> None:
    assert film_of(tmp_path, "heat") is None
    assert film_of(tmp_path / "nowhere", "heat") is None
    (tmp_path / "heat.mkv").write_bytes(b"no film")
    with pytest.raises(SourceDamaged, match="cannot be shown"):
        frames_at(tmp_path / "heat.mkv", [0.0])
