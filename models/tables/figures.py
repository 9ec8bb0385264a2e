"""Figures: weights of the experts along a movie (paper, Figure 2), and the look-ahead."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from streamer.errors import extra
from streamer.models.catalogue import find_row
from streamer.models.tables.fold import STUDIED
from streamer.models.tables.results import OFFLINE

with extra("train"):
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from streamer.models.tables.results import FoldResult, WeightTrack

    Frames = Callable[[Sequence[float]], list[NDArray[np.uint8]]]

SHOTS: Final = 12
"""Shots of one stretch."""
STRETCHES: Final = 3


def stretches(track: WeightTrack) -> list[int]:
    """First shots of at most three stretches, each around a true scene boundary where it can be.

    The boundaries a sixth, a half and five sixths of the way through the list are taken.
    """
    shots = len(track.start)
    if shots <= SHOTS:
        return [0]
    true = np.flatnonzero(track.labels)
    centres = (
        [int(true[len(true) * part // (2 * STRETCHES)]) for part in range(1, 2 * STRETCHES, 2)]
        if true.size
        else [shots // 2]
    )
    first = [min(max(0, centre - SHOTS // 2 + 1), shots - SHOTS) for centre in centres]
    kept: list[int] = []
    for start in first:
        if not kept or start >= kept[-1] + SHOTS:
            kept.append(start)
    return kept


def weights_figure(
    movie: str, track: WeightTrack, threshold: float, frames: Frames | None = None
) -> Figure:
    """Draws shots, scores, true boundaries and stacked expert weights.

    Args:
        movie: Its name.
        track: What the mixture decided.
        threshold: At or above which a score is a boundary.
        frames: Times → pictures of the film; None draws shots as blocks, scenes in two greys.
    """
    parts = stretches(track)
    figure = Figure(figsize=(11, 3.4 * len(parts) + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{STUDIED} on {movie}: weights of the experts at each boundary")
    grid = figure.subplots(3 * len(parts), 1, squeeze=False, height_ratios=[1, 1, 3] * len(parts))
    for row, first in enumerate(parts):
        axes = [grid[3 * row + line][0] for line in range(3)]
        shots = range(first, min(first + SHOTS, len(track.start)))
        _draw_shots(axes[0], track, shots, frames)
        _draw_scores(axes[1], track, shots, threshold)
        _draw_weights(axes[2], track, shots)
        for axis in axes:
            axis.set_xlim(-0.5, SHOTS - 0.5)
    handles, labels = grid[2][0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=8)
    return figure


def lookahead_figure(folds: Sequence[FoldResult]) -> Figure:
    """Draws AP and F1 against the look-ahead, with deviations and offline beside."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    waits = [key for key in folds[0].lookahead if key != OFFLINE]
    for metric, colour, title in (("ap_pooled", "C0", "AP pooled"), ("f1", "C1", "F1")):
        values = np.array(
            [[getattr(fold.lookahead[key], metric) or 0.0 for key in waits] for fold in folds]
        )
        deviation = values.std(axis=0, ddof=1) if len(folds) > 1 else np.zeros(len(waits))
        steps = [int(key) for key in waits]
        axis.errorbar(steps, values.mean(axis=0), deviation, color=colour, label=title, capsize=3)
        whole = [getattr(fold.lookahead[OFFLINE], metric) or 0.0 for fold in folds]
        axis.axhline(float(np.mean(whole)), color=colour, ls=":", label=f"{title}, offline")
    axis.set_xlabel("look-ahead, boundaries beyond the one decided")
    axis.set_ylabel("mean")
    axis.set_title(f"{STUDIED}: causal against offline")
    axis.legend()
    return figure


def rendered(figure: Figure, kind: str) -> bytes:
    """A figure as ``png`` or ``svg``; the same figure gives the same bytes."""
    stream = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    with mpl.rc_context({"svg.hashsalt": "moae-streamer", "svg.fonttype": "none"}):
        figure.savefig(stream, format=kind, dpi=120, metadata=metadata)
    return stream.getvalue()


def _draw_shots(axis: Axes, track: WeightTrack, shots: range, frames: Frames | None) -> None:
    axis.set_axis_off()
    axis.set_ylim(0, 1)
    scene = np.concatenate(([0], np.cumsum(track.labels)))
    if frames is not None:
        times = [(track.start[shot] + track.end[shot]) / 2 for shot in shots]
        for column, picture in enumerate(frames(times)):
            axis.imshow(picture, extent=(column - 0.48, column + 0.48, 0, 1), aspect="auto")
    for column, shot in enumerate(shots):
        if frames is None:
            shade = "0.75" if scene[shot] % 2 else "0.9"
            axis.bar(column, 1, 0.96, color=shade, edgecolor="0.5")
        text = f"{track.start[shot]:.1f} s"
        axis.text(column, -0.05, text, ha="center", va="top", fontsize=7)
    for column, shot in enumerate(shots[:-1]):
        if track.labels[shot]:
            axis.axvline(column + 0.5, color="gold", lw=3)


def _draw_scores(axis: Axes, track: WeightTrack, shots: range, threshold: float) -> None:
    columns = np.arange(len(shots) - 1) + 0.5
    values = [track.scores[shot] for shot in shots[:-1]]
    colours = ["C3" if value >= threshold else "0.6" for value in values]
    axis.bar(columns, values, 0.5, color=colours)
    axis.axhline(threshold, color="0.3", lw=0.8, ls="--")
    axis.set_ylim(0, 1)
    axis.set_ylabel("score", fontsize=8)
    axis.set_xticks([])
    for column, shot in enumerate(shots[:-1]):
        if track.labels[shot]:
            axis.axvline(column + 0.5, color="gold", lw=3, zorder=0)


def _draw_weights(axis: Axes, track: WeightTrack, shots: range) -> None:
    columns = np.arange(len(shots) - 1) + 0.5
    weights = np.array([track.weights[shot] for shot in shots[:-1]]).reshape(-1, len(track.experts))
    bottom = np.zeros(len(columns))
    sounds = [name for name in track.experts if find_row(name).kind == "hlss"]
    others = [name for name in track.experts if name not in sounds]
    for names, map_name in ((sounds, "Blues"), (others, "Oranges")):
        shades = mpl.colormaps[map_name](np.linspace(0.35, 0.9, max(1, len(names))))
        for name, shade in zip(names, shades, strict=False):
            heights = weights[:, track.experts.index(name)]
            axis.bar(columns, heights, 0.7, bottom=bottom, color=shade, label=name)
            bottom += heights
    axis.set_ylim(0, 1)
    axis.set_ylabel("weight", fontsize=8)
    axis.set_xticks(columns, [str(shot) for shot in shots[:-1]], fontsize=7)
