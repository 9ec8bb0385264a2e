"""Assemble the mixture of acoustic and multimodal experts: projections, experts and mixer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from streamer.models.catalogue import EXPERT_ROWS, find_row
from streamer.models.experts.batched import MAX_BATCHED_ROWS, BatchedExperts, can_batch
from streamer.models.experts.expert import Expert, ExpertSize, build_expert
from streamer.models.experts.tokens import Projection, TokenBatch, fill_missing
from streamer.models.mixer.mixer import (
    Mixer,
    MixerSize,
    consecutive_scores,
    masked_experts,
    renormalise,
)


class AspectInput(BaseModel):
    """Tokens that a mixture expects in one aspect slot.

    Attributes:
        network: Name of the network whose tokens it was trained on.
        dim: Length of a raw token.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = Field(min_length=1, max_length=200)
    dim: int = Field(ge=1, le=65536)


class MoaeConfig(BaseModel):
    """Configuration of a mixture: everything but its parameters.

    Attributes:
        row: Printed name of the mixture, e.g. ``MOAE_A``.
        experts: Printed names of its experts, in the order of their weights.
        aspects: Aspect → the tokens expected.
        sequence: ``L``, boundaries scored together.
        reach: ``w_b``, shots on each side of a boundary.
        masked: ``K``.
        alpha: Scale of the constraint; used in training only.
        beta: Scale of the confidence constraint; used in training only.
        threshold: A boundary is reported at or above this score.
        lookahead: Default look-ahead in boundaries.
        size: Widths of the experts.
        mixer: Widths of the mixer.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: str = "MOAE_A"
    experts: tuple[str, ...] = tuple(row.name for row in EXPERT_ROWS)
    aspects: dict[str, AspectInput]
    sequence: int = Field(default=10, ge=1, le=64)
    reach: int = Field(default=2, ge=1, le=8)
    masked: int = Field(default=3, ge=0, le=64)
    alpha: float = Field(default=1.0, gt=0.0)
    beta: float = Field(default=10.0, gt=0.0)
    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    lookahead: int = Field(default=1, ge=0, le=63)
    size: ExpertSize = ExpertSize.compact()
    mixer: MixerSize = MixerSize()

    @model_validator(mode="after")
    def _consistent(self) -> MoaeConfig:
        if find_row(self.row).kind != "mixture":
            raise ValueError(f"{self.row} is not a mixture")
        if not self.experts or len(set(self.experts)) != len(self.experts):
            raise ValueError("experts must be named once each, and there must be one")
        needed = {aspect for name in self.experts for aspect in find_row(name).aspects}
        if needed != set(self.aspects):
            raise ValueError(f"the experts look at {sorted(needed)}, not {sorted(self.aspects)}")
        if self.lookahead >= self.sequence:
            raise ValueError("lookahead must be below the sequence's length")
        return self

    @property
    def masking(self) -> Literal["none", "consecutive"]:
        """Kind of masking in the row of this name."""
        return "consecutive" if find_row(self.row).masking else "none"


@dataclass(frozen=True, slots=True)
class Mixed:
    """Output of the mixture for ``B`` sequences of ``L`` boundaries.

    Attributes:
        score: Probability of a boundary, ``(B, L)``; 0 where no expert is present.
        weights: Experts' weights after masking, ``(B, L, E)``.
        free_weights: Weights before masking, ``(B, L, E)``; input of the constraints.
        probability: Each expert's probability, ``(B, L, E)``; 0 where it is absent.
        present: Bool ``(B, L, E)``.
    """

    score: Tensor
    weights: Tensor
    free_weights: Tensor
    probability: Tensor
    present: Tensor


class Moae(nn.Module):
    """Mixture of acoustic experts (paper, section II-C).

    A *branch* is one aspect of one expert. A stream computes ``embed`` once a shot and
    ``boundary_features`` once a boundary; ``decide`` runs on the last ``L`` boundaries. Every
    method takes any number of shots, boundaries or sequences; rows are independent.

    Args:
        config: Names, sizes and constants.
        digest: SHA-256 of the checkpoint file; empty for a mixture without a file.
    """

    def __init__(self, config: MoaeConfig, digest: str = "") -> None:
        super().__init__()
        self.config = config
        self.digest = digest
        self.projections = nn.ModuleDict(
            {
                name: Projection(spec.dim, config.size.projection)
                for name, spec in sorted(config.aspects.items())
            }
        )
        dims = {name: self.projection(name).width for name in self.projections}
        self.experts = nn.ModuleDict(
            {name: build_expert(name, dims, config.size, config.reach) for name in config.experts}
        )
        self.mixer = Mixer(len(config.experts), config.size.hidden, config.mixer)
        self.branches: tuple[tuple[str, str], ...] = tuple(
            (name, aspect) for name in config.experts for aspect in self.expert(name).aspects
        )
        self.batched: BatchedExperts | None = None
        self.eval()

    def batch_experts(self) -> Moae:
        """Batch the experts, for streams; call it again after a parameter has changed.

        Scores stay the same but for rounding. Has no effect on experts that do not fit into
        one batch; ``train`` undoes it.

        Returns:
            This mixture.
        """
        experts = [self.expert(name) for name in self.config.experts]
        self.batched = BatchedExperts(experts) if can_batch(experts) else None
        return self

    def train(self, mode: bool = True) -> Moae:
        """Set the mode, and drop the batched copies, which training would make stale."""
        if mode:
            self.batched = None
        super().train(mode)
        return self

    def projection(self, aspect: str) -> Projection:
        """Return the projection of one aspect's raw tokens."""
        module = self.projections[aspect]
        assert isinstance(module, Projection)
        return module

    def expert(self, name: str) -> Expert:
        """Return one expert by its printed name."""
        module = self.experts[name]
        assert isinstance(module, Expert)
        return module

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""
        return self.mixer.out.weight.device

    def embed(self, tokens: Mapping[str, TokenBatch]) -> tuple[Tensor, Tensor]:
        """Embed shots in all branches.

        Args:
            tokens: Aspect → raw tokens of ``S`` shots; every aspect of the configuration.

        Returns:
            Vectors (zero where absent), and whether each shot has the branch's aspect.

        Shape:
            ``(S, R, D)`` and bool ``(S, R)``, ``R`` branches.
        """
        return self.embed_projected(
            {
                name: TokenBatch(self.projection(name)(tokens[name].tokens), tokens[name].lengths)
                for name in self.projections
            }
        )

    def embed_projected(self, projected: Mapping[str, TokenBatch]) -> tuple[Tensor, Tensor]:
        """Embed shots of projected tokens; see ``embed``.

        Shape:
            ``(S, R, D)`` and bool ``(S, R)``.
        """
        if self.batched is not None and _small(*(batch.lengths for batch in projected.values())):
            return self.batched.embed(projected)
        vectors = [
            self.expert(name).embed(aspect, projected[aspect]) for name, aspect in self.branches
        ]
        present = [projected[aspect].present for _, aspect in self.branches]
        return torch.stack(vectors, dim=1), torch.stack(present, dim=1)

    def boundary_features(self, windows: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the features of boundaries in all branches.

        Args:
            windows: Shot vectors around each boundary, ``(N, 2*w_b, R, D)``.
            present: Bool ``(N, 2*w_b, R)``.

        Returns:
            Features, and whether both adjacent shots have each branch's aspect.

        Shape:
            ``(N, R, D + C)`` and bool ``(N, R)``.
        """
        reach = self.config.reach
        filled = fill_missing(windows.transpose(1, 2), present.transpose(1, 2), reach)
        both = present[:, reach - 1] & present[:, reach]
        if self.batched is not None and _small(windows):
            return self.batched.boundary_features(filled), both
        features = [
            self.expert(name).boundary_features(aspect, filled[:, index])
            for index, (name, aspect) in enumerate(self.branches)
        ]
        return torch.stack(features, dim=1), both

    def decide(self, features: Tensor, present: Tensor) -> Mixed:
        """Score sequences of boundaries by all experts and mix the scores.

        Args:
            features: ``(B, L, R, D + C)``.
            present: Bool ``(B, L, R)``.
        """
        hidden, probability, there = self.score_experts(features, present)
        return self.mix(hidden, probability, there)

    def score_experts(self, features: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score sequences by each expert, without mixing.

        Shape:
            ``E_f`` ``(B, L, E, hidden)``, probabilities and presence ``(B, L, E)``.
        """
        if self.batched is not None and _small(features):
            return self.batched.score_experts(features, present)
        outputs = []
        start = 0
        for name in self.config.experts:
            expert = self.expert(name)
            columns = range(start, start + len(expert.aspects))
            start = columns.stop
            outputs.append(
                expert.score(
                    {a: features[:, :, c] for a, c in zip(expert.aspects, columns, strict=True)},
                    {a: present[:, :, c] for a, c in zip(expert.aspects, columns, strict=True)},
                )
            )
        return (
            torch.stack([output.hidden for output in outputs], dim=2),
            torch.stack([output.probability for output in outputs], dim=2),
            torch.stack([output.present for output in outputs], dim=2),
        )

    def mix(self, hidden: Tensor, probability: Tensor, present: Tensor) -> Mixed:
        """Weigh the experts' probabilities and sum them.

        Args:
            hidden: ``(B, L, E, hidden)``.
            probability: ``(B, L, E)``.
            present: Bool ``(B, L, E)``.
        """
        free: Tensor = self.mixer(hidden, present)
        weights = free
        if self.config.masking == "consecutive":
            scores = consecutive_scores(probability, present)
            masked = masked_experts(scores, present.any(dim=1), self.config.masked)
            weights = renormalise(free, masked[:, None])
        return Mixed((weights * probability).sum(dim=-1), weights, free, probability, present)


def _small(*rows: Tensor) -> bool:
    return all(len(each) <= MAX_BATCHED_ROWS for each in rows)
