"""How experts and mixer are trained."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from streamer.models.catalogue import find_row
from streamer.models.experts.expert import ExpertSize
from streamer.models.mixer.mixer import MixerSize

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Scale = Annotated[float, Field(gt=0.0, le=1e6)]


class TrainingSettings(BaseModel):
    """Hyperparameters; defaults are the paper's (section III-A) where it names one.

    Attributes:
        row: Mixture to train, e.g. ``MOAE_A``.
        size: Widths of the experts.
        mixer_size: Widths of the mixer.
        sequence: ``L``.
        reach: ``w_b``.
        masked: ``K``.
        alphas: Scales of the constraint to choose from on training movies.
        beta: Scale of the confidence constraint.
        lookahead: Position at which movies held out are scored, and the mixture's default.
        epochs: Of the experts.
        rates: Learning rates of the experts; the best on held-out movies is kept.
        step: Epoch at which the learning rate is divided by 10.
        decay: Weight decay of the experts.
        mixer_epochs: Of the mixer.
        mixer_rate: Learning rate of the mixer.
        mixer_decay: Weight decay of the mixer.
        inner_folds: Groups of training movies; what trains the mixer is judged by experts that
            were trained on the other groups. 0 trains it on movies that the experts know, as
            the paper seems to *(choice)*.
        inner_epochs: Epochs of those experts; None takes half of ``epochs``. The learning rate
            is divided after two thirds of them.
        class_weight: Loss of a scene boundary against 1 for others.
        batch: Sequences in a step *(choice)*.
        stride: Boundaries from one training sequence to the next; ``L`` lets every boundary
            count once an epoch, 1 lets it count at every position *(choice)*.
        mixer_stride: The same for the mixer, which has fewer epochs; 3 of 10 shows it a boundary
            at the same three or four positions in each *(choice)*.
        drop_aspect: Share of sequences that lose an aspect altogether *(choice)*.
        drop_run: Share of sequences that lose an aspect for a run of shots *(choice)*.
        reverse: Share of sequences shown backwards *(choice)*.
        flip: Share of sequences in which the signs of token dimensions are drawn anew, the same
            for all shots: distances stay, what was shown does not *(choice)*.
        patience: Epochs without improvement on held-out movies before stopping; None never stops.
        seed: Everything random follows from it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: str = "MOAE_A"
    size: ExpertSize = ExpertSize.compact()
    mixer_size: MixerSize = MixerSize()
    sequence: int = Field(default=10, ge=1, le=64)
    reach: int = Field(default=2, ge=1, le=8)
    masked: int = Field(default=3, ge=0, le=64)
    alphas: tuple[Scale, ...] = Field(default=(1.0, 0.1, 10.0), min_length=1)
    beta: float = Field(default=10.0, gt=0.0)
    lookahead: int = Field(default=1, ge=0, le=63)
    epochs: int = Field(default=60, ge=1, le=10000)
    rates: tuple[float, ...] = Field(default=(1e-3, 1e-4), min_length=1)
    step: int = Field(default=30, ge=1)
    decay: float = Field(default=5e-4, ge=0.0)
    mixer_epochs: int = Field(default=20, ge=1, le=10000)
    mixer_rate: float = Field(default=1e-4, gt=0.0)
    mixer_decay: float = Field(default=5e-3, ge=0.0)
    inner_folds: int = Field(default=3, ge=0, le=100)
    inner_epochs: int | None = Field(default=None, ge=1, le=10000)
    class_weight: float = Field(default=10.0, gt=0.0)
    batch: int = Field(default=32, ge=1, le=4096)
    stride: int = Field(default=10, ge=1, le=64)
    mixer_stride: int = Field(default=3, ge=1, le=64)
    drop_aspect: Rate = 0.1
    drop_run: Rate = 0.1
    reverse: Rate = 0.5
    flip: Rate = 0.5
    patience: int | None = Field(default=None, ge=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> TrainingSettings:
        if find_row(self.row).kind != "mixture":
            raise ValueError(f"{self.row} is not a mixture")
        if max(self.stride, self.mixer_stride) > self.sequence:
            raise ValueError("a stride beyond the sequence would leave boundaries out")
        if self.lookahead >= self.sequence:
            raise ValueError("lookahead must be below the sequence's length")
        if self.inner_folds == 1:
            raise ValueError("inner_folds must be 0 or at least 2")
        return self

    @property
    def inner(self) -> TrainingSettings:
        """Of the experts of the inner folds."""
        epochs = self.inner_epochs or max(1, self.epochs // 2)
        step = self.step if epochs == self.epochs else max(1, 2 * epochs // 3)
        return self.model_copy(update={"epochs": epochs, "step": step, "patience": None})

    def fingerprint(self, *parts: str) -> str:
        """Short name of this training on this data; equal only when results must be equal.

        Args:
            parts: Whatever else the results depend on.
        """
        digest = hashlib.sha256(self.model_dump_json().encode())
        for part in parts:
            digest.update(b"\0" + part.encode())
        return digest.hexdigest()[:16]


def seed_of(*parts: object) -> int:
    """A seed that depends on all parts and on nothing else.

    Args:
        parts: Values with a stable text form.

    Returns:
        Within ``0 … 2**63 - 1``.
    """
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
