"""The whole mixture of acoustic experts: projections, experts and mixer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from streamer.models.experts.build import build_expert
from streamer.models.experts.expert import Expert
from streamer.models.experts.projection import Projection
from streamer.models.experts.size import ExpertSize, MixerSize
from streamer.models.experts.tokens import TokenBatch
from streamer.models.experts.windows import heal
from streamer.models.mixer.masking import consecutive_scores, masked_experts
from streamer.models.mixer.mixer import Mixer, renormalise
from streamer.models.rows import EXPERT_ROWS, find_row
from streamer.models.stacked import FEW, StackedExperts, stackable

if TYPE_CHECKING:
    from collections.abc import Mapping


class AspectInput(BaseModel):
    """What a mixture expects in one aspect slot.

    Attributes:
        network: Honest name of the network that made the tokens it was trained on.
        dim: Length of a raw token.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str = Field(min_length=1, max_length=200)
    dim: int = Field(ge=1, le=65536)


class MoaeConfig(BaseModel):
    """Everything about a mixture but its parameters.

    Attributes:
        row: Printed name of the mixture, e.g. ``MOAE_A``.
        experts: Printed names of its experts, in the order of their weights.
        aspects: Aspect → what its tokens must be.
        sequence: ``L``, boundaries judged together.
        reach: ``w_b``, shots on each side of a boundary.
        masked: ``K``.
        alpha: Scale of the constraint; matters in training only.
        beta: Scale of the confidence constraint; matters in training only.
        threshold: A boundary is reported at or above this score.
        lookahead: Boundaries waited for beyond the one decided, by default.
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
        """Whether experts are masked in a row of this name."""
        return "consecutive" if find_row(self.row).masking else "none"


@dataclass(frozen=True, slots=True)
class Mixed:
    """What the mixture says of ``B`` sequences of ``L`` boundaries.

    Attributes:
        score: Probability of a boundary, ``(B, L)``; 0 where no expert is there.
        weights: After masking, ``(B, L, E)``.
        free_weights: Before masking, ``(B, L, E)``; what the constraints measure.
        probability: Each expert's, ``(B, L, E)``; 0 where it is absent.
        present: Bool ``(B, L, E)``.
    """

    score: Tensor
    weights: Tensor
    free_weights: Tensor
    probability: Tensor
    present: Tensor


class Moae(nn.Module):
    """Mixture of acoustic experts (paper, section II-C).

    A *branch* is one aspect of one expert. Results of ``embed`` are kept once a shot, those of
    ``relate`` once a boundary; ``decide`` runs on the last ``L`` boundaries. Every method takes
    any number of shots, boundaries or sequences; none of them affects its neighbours.

    Args:
        config: Names, sizes and constants.
        digest: SHA-256 of the checkpoint file, empty before there is one.
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
        self.stacked: StackedExperts | None = None
        self.eval()

    def stack(self) -> Moae:
        """Puts the experts side by side, for streams; to be called again when one has changed.

        Results stay the same but for rounding. Mixtures of experts that do not fit together are
        left as they are; training undoes it.

        Returns:
            This mixture.
        """
        experts = [self.expert(name) for name in self.config.experts]
        self.stacked = StackedExperts(experts) if stackable(experts) else None
        return self

    def train(self, mode: bool = True) -> Moae:
        """As in torch; parameters that change would leave stacked copies behind."""
        if mode:
            self.stacked = None
        super().train(mode)
        return self

    def projection(self, aspect: str) -> Projection:
        """Projection of one aspect's raw tokens."""
        module = self.projections[aspect]
        assert isinstance(module, Projection)
        return module

    def expert(self, name: str) -> Expert:
        """One expert by its printed name."""
        module = self.experts[name]
        assert isinstance(module, Expert)
        return module

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return self.mixer.out.weight.device

    def embed(self, tokens: Mapping[str, TokenBatch]) -> tuple[Tensor, Tensor]:
        """Shot vectors of all branches.

        Args:
            tokens: Aspect → raw tokens of ``S`` shots; every aspect of the configuration.

        Returns:
            Vectors (zero where absent), and whether each branch's aspect is there.

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
        """As ``embed``, of tokens that were projected before.

        Shape:
            ``(S, R, D)`` and bool ``(S, R)``.
        """
        if self.stacked is not None and _few(projected):
            return self.stacked.embed(projected)
        vectors = [
            self.expert(name).embed(aspect, projected[aspect]) for name, aspect in self.branches
        ]
        present = [projected[aspect].present for _, aspect in self.branches]
        return torch.stack(vectors, dim=1), torch.stack(present, dim=1)

    def relate(self, windows: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Boundary representations of all branches.

        Args:
            windows: Shot vectors around each boundary, ``(N, 2*w_b, R, D)``.
            present: Bool ``(N, 2*w_b, R)``.

        Returns:
            Representations, and whether each branch's aspect is in both adjacent shots.

        Shape:
            ``(N, R, D + C)`` and bool ``(N, R)``.
        """
        reach = self.config.reach
        healed = heal(windows.transpose(1, 2), present.transpose(1, 2), reach)
        both = present[:, reach - 1] & present[:, reach]
        if self.stacked is not None and len(windows) <= FEW:
            return self.stacked.relate(healed), both
        relations = [
            self.expert(name).relate(aspect, healed[:, index])
            for index, (name, aspect) in enumerate(self.branches)
        ]
        return torch.stack(relations, dim=1), both

    def decide(self, relations: Tensor, present: Tensor) -> Mixed:
        """Judges sequences of boundaries by all experts and mixes them.

        Args:
            relations: ``(B, L, R, D + C)``.
            present: Bool ``(B, L, R)``.
        """
        hidden, probability, there = self.judge(relations, present)
        return self.mix(hidden, probability, there)

    def judge(self, relations: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Judges sequences by each expert, without mixing.

        Shape:
            ``E_f`` ``(B, L, E, hidden)``, probabilities and presence ``(B, L, E)``.
        """
        if self.stacked is not None and len(relations) <= FEW:
            return self.stacked.judge(relations, present)
        judgements = []
        start = 0
        for name in self.config.experts:
            expert = self.expert(name)
            columns = range(start, start + len(expert.aspects))
            start = columns.stop
            judgements.append(
                expert.judge(
                    {a: relations[:, :, c] for a, c in zip(expert.aspects, columns, strict=True)},
                    {a: present[:, :, c] for a, c in zip(expert.aspects, columns, strict=True)},
                )
            )
        return (
            torch.stack([judgement.hidden for judgement in judgements], dim=2),
            torch.stack([judgement.probability for judgement in judgements], dim=2),
            torch.stack([judgement.present for judgement in judgements], dim=2),
        )

    def mix(self, hidden: Tensor, probability: Tensor, present: Tensor) -> Mixed:
        """Weighs the experts' probabilities.

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


def _few(projected: Mapping[str, TokenBatch]) -> bool:
    return all(len(batch.lengths) <= FEW for batch in projected.values())
