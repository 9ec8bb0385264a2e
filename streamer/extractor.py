"""Define the interface of an aspect's network: its input pieces and its tokens."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class PictureInput:
    """Request key frames resized to ``height`` × ``width``, RGB, bicubic.

    Attributes:
        height: Pixels.
        width: Pixels.
        interval: Seconds between two key frames of one shot.
        keep_aspect: Fit the picture into the upper left corner with a black rest, instead of
            stretching it; pixels count as square.
    """

    height: int
    width: int
    interval: Fraction
    keep_aspect: bool = False

    @property
    def latency(self) -> Fraction:
        """Seconds of input that a piece spans: none."""
        return Fraction(0)


@dataclass(frozen=True, slots=True)
class ClipInput:
    """Request runs of ``frames`` grey pictures resized to ``height`` × ``width``.

    The aspect ratio is not kept. The last picture of a clip is the first of the next. A shot too
    short for a clip gives one that repeats its last picture at the end; a shot of one picture
    gives none.

    Attributes:
        height: Pixels.
        width: Pixels.
        frames: Pictures in a clip, at least 2.
        interval: Least seconds from one picture of a clip to the next; pictures that follow
            sooner are skipped, so the distance stays below twice this on a steady stream that
            is fast enough.
    """

    height: int
    width: int
    frames: int
    interval: Fraction

    @property
    def latency(self) -> Fraction:
        """Seconds of input that a piece spans at least."""
        return (self.frames - 1) * self.interval


@dataclass(frozen=True, slots=True)
class SoundInput:
    """Request mono windows of ``window`` samples at ``rate`` Hz, one every ``hop`` samples.

    Attributes:
        rate: Samples a second.
        window: Samples of one piece.
        hop: Samples from one window to the next.
    """

    rate: int
    window: int
    hop: int

    @property
    def latency(self) -> Fraction:
        """Seconds of input that a piece spans: the length of the window."""
        return Fraction(self.window, self.rate)


class Extractor(Protocol):
    """Embed pieces of one kind as tokens; an extractor holds weights but no stream state.

    Pieces of many shots and streams may share one batch: rows are independent. A piece in which
    the aspect has nothing to observe (no face, say) gives a row of NaN only, and yields no token.
    """

    @property
    def aspect(self) -> str:
        """Slot it fills: ``place``, ``speaker``, ``vggish``, ``panns``, ``openl3``, …."""

    @property
    def network(self) -> str:
        """Name of the network that fills the slot, e.g. ``yamnet``."""

    @property
    def kind(self) -> Literal["picture", "clip", "sound"]:
        """Kind of the pieces."""

    @property
    def input(self) -> PictureInput | ClipInput | SoundInput:
        """Format of one piece; ``input.latency`` is the seconds that it spans."""

    @property
    def dim(self) -> int:
        """Length of a token."""

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        """Embed a batch.

        Args:
            pieces: Pictures as uint8 ``(batch, 3, height, width)``, clips as uint8
                ``(batch, frames, 1, height, width)``, or sound as float32 ``(batch, window)``
                within [-1, 1].

        Returns:
            Float32 ``(batch, dim)``; a row is finite for every finite input (silence and black
            included), or NaN only where nothing can be observed.
        """
