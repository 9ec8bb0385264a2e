"""The experts of a mixture side by side: one operation for all instead of one for each.

A stream asks for one shot and one sequence at a time. The matrices are then so small that calling
torch costs more than computing, and ten experts one by one cost a multiple of all ten at once.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamer.models.experts.bnet import BNet
from streamer.models.experts.embedding import ShotEmbedding
from streamer.models.experts.expert import Head
from streamer.models.experts.multimodal import MultimodalExpert
from streamer.models.experts.unimodal import UnimodalExpert

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamer.models.experts.expert import Expert
    from streamer.models.experts.tokens import TokenBatch

FEW: Final = 8
"""Shots, boundaries or sequences at once up to which calls cost more than computing."""


def stackable(experts: Sequence[Expert]) -> bool:
    """Whether experts can be put side by side: none on raw spectrograms, none combined by hand."""
    return all(
        isinstance(expert, UnimodalExpert | MultimodalExpert)
        and all(isinstance(module, ShotEmbedding) for module in expert.embeddings.values())
        and all(isinstance(m, BNet) and m.relation is not None for m in expert.bnets.values())
        for expert in experts
    )


class StackedExperts(nn.Module):
    """Copies of all parameters of trained experts; gives what these give one by one.

    The copies are buffers that are never saved, and are wrong once an expert changes. Scores differ
    from those of the experts by rounding alone.

    Args:
        experts: In the order of their weights; see ``stackable``.
    """

    def __init__(self, experts: Sequence[Expert]) -> None:
        super().__init__()
        self.aspects = [aspect for expert in experts for aspect in expert.aspects]
        self.reach = experts[0].reach
        columns: list[list[int]] = []
        for expert in experts:
            first = sum(len(known) for known in columns)
            columns.append(list(range(first, first + len(expert.aspects))))
        alone = [i for i, expert in enumerate(experts) if isinstance(expert, UnimodalExpert)]
        fused = [i for i in range(len(experts)) if i not in alone]
        self.alone = [columns[i][0] for i in alone]
        self.fused = [columns[i] for i in fused]
        self.leads = [known[0] for known in columns]
        order = alone + fused
        self.order = [order.index(i) for i in range(len(experts))]
        self._keep_embeddings(experts)
        self._keep_bnets(experts)
        self._keep_attention([experts[i] for i in fused])
        self._keep_heads([experts[i] for i in alone], [experts[i] for i in fused])

    def embed(self, projected: Mapping[str, TokenBatch]) -> tuple[Tensor, Tensor]:
        """See ``Moae.embed_projected``."""
        longest = max(batch.tokens.shape[1] for batch in projected.values())
        widest = self.embedding_into.shape[1]
        padded = {
            name: F.pad(
                batch.tokens,
                (0, widest - batch.tokens.shape[2], 0, longest - batch.tokens.shape[1]),
            )
            for name, batch in projected.items()
        }
        tokens = torch.stack([padded[aspect] for aspect in self.aspects])
        lengths = torch.stack([projected[aspect].lengths for aspect in self.aspects])
        branches, shots = lengths.shape
        weighed = torch.baddbmm(self.embedding_bias, tokens.flatten(1, 2), self.embedding_into)
        weighed = weighed.reshape(branches, shots, longest, -1)
        vectors = _last_state(weighed, self.embedding_back, lengths)
        present = lengths > 0
        return vectors.masked_fill(~present[..., None], 0.0).transpose(0, 1), present.T

    def relate(self, healed: Tensor) -> Tensor:
        """Boundary representations of healed windows.

        Shape:
            ``(N, R, 2*w_b, D)`` → ``(N, R, D + C)``
        """
        windows = healed.transpose(0, 1)
        related = (torch.matmul(self.relation, windows) + self.relation_bias).amax(dim=2)
        half = self.reach
        before = torch.matmul(self.before, windows[:, :, :half]) + self.before_bias
        after = torch.matmul(self.after, windows[:, :, half:]) + self.after_bias
        difference = F.cosine_similarity(before, after, dim=3)
        return torch.cat((related, difference), dim=2).transpose(0, 1)

    def judge(self, relations: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Moae.judge``."""
        count, length = relations.shape[:2]
        rows = relations.flatten(0, 1).transpose(0, 1)
        there = present.flatten(0, 1).T
        weighed = []
        if self.alone:
            inputs = rows[self.alone] * there[self.alone, :, None]
            weighed.append(torch.baddbmm(self.alone_bias, inputs, self.alone_into))
        if self.fused:
            inputs = self._attended(rows, there)
            weighed.append(torch.baddbmm(self.fused_bias, inputs, self.fused_into))
        states = self._both_ways(torch.cat(weighed).reshape(len(self.order), count, length, -1))
        hidden = torch.baddbmm(self.hidden_bias, states.flatten(1, 2), self.hidden).relu()
        logits = torch.baddbmm(self.out_bias, hidden, self.out)
        hidden = hidden[self.order].reshape(len(self.order), count, length, -1).permute(1, 2, 0, 3)
        logits = logits[self.order].reshape(len(self.order), count, length, 2).permute(1, 2, 0, 3)
        seen = present[:, :, self.leads]
        probability = logits.softmax(dim=-1)[..., 1].masked_fill(~seen, 0.0)
        return hidden * seen[..., None], probability, seen

    def _attended(self, rows: Tensor, there: Tensor) -> Tensor:
        """Multimodal attention of all experts that have it; see ``MultimodalAttention.forward``."""
        experts, modalities, count = len(self.fused), len(self.fused[0]), rows.shape[1]
        flat = list(chain.from_iterable(self.fused))
        seen = there[flat, :, None]
        standard = torch.baddbmm(self.standard_bias, rows[flat], self.standard) * seen
        asked = torch.bmm(standard, self.attention)
        asked = asked.reshape(experts, modalities, count, -1).transpose(1, 2)
        query, key, value = asked.chunk(3, dim=-1)
        known = seen.reshape(experts, modalities, count).transpose(1, 2)
        scores = torch.matmul(query, key.transpose(-1, -2)) * self.scale
        scores = scores.masked_fill(~known[..., None, :], torch.finfo(scores.dtype).min)
        pairs = known[..., :, None] & known[..., None, :]
        attended = torch.matmul(scores.softmax(dim=-1) * pairs, value)
        own = standard.reshape(experts, modalities, count, -1).transpose(1, 2)
        return torch.cat((attended, own), dim=-2).flatten(-2) * known[..., :1]

    def _both_ways(self, weighed: Tensor) -> Tensor:
        """Recurrence of all heads in all directions at once.

        Shape:
            ``(E, B, L, directions * 4 * width)`` → ``(E, B, L, directions * width)``
        """
        parts = list(weighed.chunk(self.directions, dim=-1))
        if self.directions == 2:
            parts[1] = parts[1].flip(2)
        states = list(_all_states(torch.cat(parts), self.head_back).chunk(self.directions))
        if self.directions == 2:
            states[1] = states[1].flip(2)
        return torch.cat(states, dim=-1)

    def _keep(self, name: str, parts: Sequence[Tensor]) -> None:
        stacked = torch.stack([part.detach() for part in parts]).clone()
        self.register_buffer(name, stacked, persistent=False)

    def _keep_embeddings(self, experts: Sequence[Expert]) -> None:
        lstms = [_lstm(expert.embeddings[name]) for expert in experts for name in expert.aspects]
        widest = max(lstm.input_size for lstm in lstms)
        into = [_gates(lstm, "weight_ih_l0").T for lstm in lstms]
        self._keep("embedding_into", [F.pad(w, (0, 0, 0, widest - len(w))) for w in into])
        self._keep("embedding_back", [_gates(lstm, "weight_hh_l0").T for lstm in lstms])
        self._keep("embedding_bias", [_biases(lstm, "")[None] for lstm in lstms])

    def _keep_bnets(self, experts: Sequence[Expert]) -> None:
        bnets = [expert.bnets[name] for expert in experts for name in expert.aspects]
        relation, before, after = [], [], []
        for bnet in bnets:
            assert isinstance(bnet, BNet)
            assert bnet.relation is not None
            relation.append(bnet.relation.conv)
            before.append(bnet.difference.before)
            after.append(bnet.difference.after or bnet.difference.before)
        for name, convs in (("relation", relation), ("before", before), ("after", after)):
            self._keep(name, [conv.weight.flatten(1)[None] for conv in convs])
            self._keep(f"{name}_bias", [_bias(conv)[None, :, None] for conv in convs])

    def _keep_attention(self, fused: Sequence[Expert]) -> None:
        linears, attention = [], []
        self.scale = 1.0
        for expert in fused:
            assert isinstance(expert, MultimodalExpert)
            linears += [_linear(expert.standard[name]) for name in expert.aspects]
            whole = (expert.attention.query, expert.attention.key, expert.attention.value)
            attention += list(torch.cat(whole, dim=-1).unbind(0))
            self.scale = expert.attention.scale
        if fused:
            self._keep("standard", [linear.weight.T for linear in linears])
            self._keep("standard_bias", [_bias(linear)[None] for linear in linears])
            self._keep("attention", attention)

    def _keep_heads(self, alone: Sequence[Expert], fused: Sequence[Expert]) -> None:
        heads = {"alone": [_head(each) for each in alone], "fused": [_head(each) for each in fused]}
        every = heads["alone"] + heads["fused"]
        ways = ("", "_reverse") if every[0].lstm.bidirectional else ("",)
        self.directions = len(ways)
        for name, group in heads.items():
            if group:
                into = [
                    torch.cat([_gates(head.lstm, f"weight_ih_l0{way}").T for way in ways], dim=1)
                    for head in group
                ]
                biases = [torch.cat([_biases(head.lstm, way) for way in ways]) for head in group]
                self._keep(f"{name}_into", into)
                self._keep(f"{name}_bias", [bias[None] for bias in biases])
        back = [_gates(head.lstm, f"weight_hh_l0{way}").T for way in ways for head in every]
        self._keep("head_back", back)
        self._keep("hidden", [head.hidden.weight.T for head in every])
        self._keep("hidden_bias", [_bias(head.hidden)[None] for head in every])
        self._keep("out", [head.out.weight.T for head in every])
        self._keep("out_bias", [_bias(head.out)[None] for head in every])

    embedding_into: Tensor
    embedding_back: Tensor
    embedding_bias: Tensor
    relation: Tensor
    relation_bias: Tensor
    before: Tensor
    before_bias: Tensor
    after: Tensor
    after_bias: Tensor
    standard: Tensor
    standard_bias: Tensor
    attention: Tensor
    alone_into: Tensor
    alone_bias: Tensor
    fused_into: Tensor
    fused_bias: Tensor
    head_back: Tensor
    hidden: Tensor
    hidden_bias: Tensor
    out: Tensor
    out_bias: Tensor


def _step(gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    """One step of LSTMs, gates in the order of ``_gates``."""
    width = gates.shape[-1] // 4
    opened = gates[..., : 3 * width].sigmoid()
    fresh = opened[..., :width] * gates[..., 3 * width :].tanh()
    if cell is not None:
        fresh = torch.addcmul(fresh, opened[..., width : 2 * width], cell)
    return opened[..., 2 * width :] * fresh.tanh(), fresh


def _all_states(weighed: Tensor, back: Tensor) -> Tensor:
    """Hidden states of LSTMs side by side.

    Shape:
        ``(G, B, T, 4 * width)``, ``(G, width, 4 * width)`` → ``(G, B, T, width)``
    """
    hidden, cell = _step(weighed[:, :, 0], None)
    states = [hidden]
    for step in range(1, weighed.shape[2]):
        hidden, cell = _step(torch.baddbmm(weighed[:, :, step], hidden, back), cell)
        states.append(hidden)
    return torch.stack(states, dim=2)


def _last_state(weighed: Tensor, back: Tensor, lengths: Tensor) -> Tensor:
    """Hidden states after as many steps as each sequence has, at least one.

    Shape:
        ``(G, B, T, 4 * width)``, ``(G, width, 4 * width)``, ``(G, B)`` → ``(G, B, width)``
    """
    hidden, cell = _step(weighed[:, :, 0], None)
    for step in range(1, weighed.shape[2]):
        shown, kept = _step(torch.baddbmm(weighed[:, :, step], hidden, back), cell)
        runs = (lengths > step)[..., None]
        hidden, cell = torch.where(runs, shown, hidden), torch.where(runs, kept, cell)
    return hidden


def _gates(lstm: nn.LSTM, name: str) -> Tensor:
    """A parameter with its gates as input, forget, output, candidate: sigmoids end to end."""
    into, forget, candidate, output = lstm.get_parameter(name).chunk(4)
    return torch.cat((into, forget, output, candidate))


def _biases(lstm: nn.LSTM, way: str) -> Tensor:
    return _gates(lstm, f"bias_ih_l0{way}") + _gates(lstm, f"bias_hh_l0{way}")


def _lstm(module: nn.Module) -> nn.LSTM:
    assert isinstance(module, ShotEmbedding)
    return module.lstm


def _linear(module: nn.Module) -> nn.Linear:
    assert isinstance(module, nn.Linear)
    return module


def _head(expert: Expert) -> Head:
    assert isinstance(expert, UnimodalExpert | MultimodalExpert)
    assert isinstance(expert.head, Head)
    return expert.head


def _bias(module: nn.Conv2d | nn.Linear) -> Tensor:
    assert module.bias is not None
    return module.bias
