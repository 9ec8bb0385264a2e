"""Run all experts of a mixture in batched operations.

A stream scores one shot and one sequence at a time. The matrices are then so small that calling
torch costs more than computing, and ten experts one by one cost a multiple of all ten in one batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from streamer.models.experts.expert import Expert, Head, MultimodalExpert, UnimodalExpert
from streamer.models.experts.layers import BNet, ShotEmbedding
from streamer.models.experts.tokens import TokenBatch

MAX_BATCHED_ROWS: Final = 8
"""Most shots, boundaries or sequences at once for which batching the experts is faster."""


def can_batch(experts: Sequence[Expert]) -> bool:
    """Tell whether experts fit into one batch: none on raw spectrograms, no fixed combination."""
    return all(
        isinstance(expert, UnimodalExpert | MultimodalExpert)
        and all(isinstance(module, ShotEmbedding) for module in expert.embeddings.values())
        and all(isinstance(m, BNet) and m.relation is not None for m in expert.bnets.values())
        for expert in experts
    )


class BatchedExperts(nn.Module):
    """Batched copies of the parameters of trained experts.

    The copies are buffers that are never saved, and go stale when an expert changes. Scores differ
    from those of the single experts by rounding only.

    Args:
        experts: In the mixture's order; see ``can_batch``.
    """

    embedding_input: Tensor
    embedding_recurrent: Tensor
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
    unimodal_input: Tensor
    unimodal_bias: Tensor
    multimodal_input: Tensor
    multimodal_bias: Tensor
    head_recurrent: Tensor
    hidden: Tensor
    hidden_bias: Tensor
    out: Tensor
    out_bias: Tensor

    def __init__(self, experts: Sequence[Expert]) -> None:
        super().__init__()
        self.aspects = [aspect for expert in experts for aspect in expert.aspects]
        self.reach = experts[0].reach
        columns: list[list[int]] = []
        for expert in experts:
            first = sum(map(len, columns))
            columns.append(list(range(first, first + len(expert.aspects))))
        unimodal = [i for i, expert in enumerate(experts) if isinstance(expert, UnimodalExpert)]
        multimodal = [i for i in range(len(experts)) if i not in unimodal]
        self.unimodal = [columns[i][0] for i in unimodal]
        self.multimodal = [columns[i] for i in multimodal]
        self.leading = [own[0] for own in columns]
        order = unimodal + multimodal
        self.order = [order.index(i) for i in range(len(experts))]
        self._copy_embeddings(experts)
        self._copy_bnets(experts)
        self._copy_attention([experts[i] for i in multimodal])
        self._copy_heads([experts[i] for i in unimodal], [experts[i] for i in multimodal])

    def embed(self, projected: Mapping[str, TokenBatch]) -> tuple[Tensor, Tensor]:
        """See ``Moae.embed_projected``."""
        longest = max(batch.tokens.shape[1] for batch in projected.values())
        widest = self.embedding_input.shape[1]
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
        gates = torch.baddbmm(self.embedding_bias, tokens.flatten(1, 2), self.embedding_input)
        gates = gates.reshape(branches, shots, longest, -1)
        vectors = _last_state(gates, self.embedding_recurrent, lengths)
        present = lengths > 0
        return vectors.masked_fill(~present[..., None], 0.0).transpose(0, 1), present.T

    def boundary_features(self, windows: Tensor) -> Tensor:
        """Compute the boundary features of windows whose absent shots are filled.

        Shape:
            ``(N, R, 2*w_b, D)`` → ``(N, R, D + C)``
        """
        windows = windows.transpose(0, 1)
        related = (torch.matmul(self.relation, windows) + self.relation_bias).amax(dim=2)
        half = self.reach
        before = torch.matmul(self.before, windows[:, :, :half]) + self.before_bias
        after = torch.matmul(self.after, windows[:, :, half:]) + self.after_bias
        difference = F.cosine_similarity(before, after, dim=3)
        return torch.cat((related, difference), dim=2).transpose(0, 1)

    def score_experts(self, features: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Moae.score_experts``."""
        count, length = features.shape[:2]
        rows = features.flatten(0, 1).transpose(0, 1)
        here = present.flatten(0, 1).T
        gates = []
        if self.unimodal:
            inputs = rows[self.unimodal] * here[self.unimodal, :, None]
            gates.append(torch.baddbmm(self.unimodal_bias, inputs, self.unimodal_input))
        if self.multimodal:
            inputs = self._attended(rows, here)
            gates.append(torch.baddbmm(self.multimodal_bias, inputs, self.multimodal_input))
        states = self._run_lstms(torch.cat(gates).reshape(len(self.order), count, length, -1))
        hidden = torch.baddbmm(self.hidden_bias, states.flatten(1, 2), self.hidden).relu()
        logits = torch.baddbmm(self.out_bias, hidden, self.out)
        hidden = hidden[self.order].reshape(len(self.order), count, length, -1).permute(1, 2, 0, 3)
        logits = logits[self.order].reshape(len(self.order), count, length, 2).permute(1, 2, 0, 3)
        here = present[:, :, self.leading]
        probability = logits.softmax(dim=-1)[..., 1].masked_fill(~here, 0.0)
        return hidden * here[..., None], probability, here

    def _attended(self, rows: Tensor, here: Tensor) -> Tensor:
        """Run the attention of all multimodal experts; see ``MultimodalAttention.forward``."""
        experts, modalities, count = len(self.multimodal), len(self.multimodal[0]), rows.shape[1]
        flat = list(chain.from_iterable(self.multimodal))
        here = here[flat, :, None]
        standard = torch.baddbmm(self.standard_bias, rows[flat], self.standard) * here
        projected = torch.bmm(standard, self.attention)
        projected = projected.reshape(experts, modalities, count, -1).transpose(1, 2)
        query, key, value = projected.chunk(3, dim=-1)
        mask = here.reshape(experts, modalities, count).transpose(1, 2)
        scores = torch.matmul(query, key.transpose(-1, -2)) * self.scale
        scores = scores.masked_fill(~mask[..., None, :], torch.finfo(scores.dtype).min)
        pairs = mask[..., :, None] & mask[..., None, :]
        attended = torch.matmul(scores.softmax(dim=-1) * pairs, value)
        own = standard.reshape(experts, modalities, count, -1).transpose(1, 2)
        return torch.cat((attended, own), dim=-2).flatten(-2) * mask[..., :1]

    def _run_lstms(self, gates: Tensor) -> Tensor:
        """Run the LSTMs of all heads in all directions at once.

        Shape:
            ``(E, B, L, directions * 4 * width)`` → ``(E, B, L, directions * width)``
        """
        parts = list(gates.chunk(self.directions, dim=-1))
        if self.directions == 2:
            parts[1] = parts[1].flip(2)
        states = list(_all_states(torch.cat(parts), self.head_recurrent).chunk(self.directions))
        if self.directions == 2:
            states[1] = states[1].flip(2)
        return torch.cat(states, dim=-1)

    def _register(self, name: str, parts: Sequence[Tensor]) -> None:
        stacked = torch.stack([part.detach() for part in parts]).clone()
        self.register_buffer(name, stacked, persistent=False)

    def _copy_embeddings(self, experts: Sequence[Expert]) -> None:
        lstms = [_lstm(expert.embeddings[name]) for expert in experts for name in expert.aspects]
        widest = max(lstm.input_size for lstm in lstms)
        inputs = [_gates(lstm, "weight_ih_l0").T for lstm in lstms]
        self._register("embedding_input", [F.pad(w, (0, 0, 0, widest - len(w))) for w in inputs])
        self._register("embedding_recurrent", [_gates(lstm, "weight_hh_l0").T for lstm in lstms])
        self._register("embedding_bias", [_biases(lstm, "")[None] for lstm in lstms])

    def _copy_bnets(self, experts: Sequence[Expert]) -> None:
        bnets = [expert.bnets[name] for expert in experts for name in expert.aspects]
        relation, before, after = [], [], []
        for bnet in bnets:
            assert isinstance(bnet, BNet)
            assert bnet.relation is not None
            relation.append(bnet.relation.conv)
            before.append(bnet.difference.before)
            after.append(bnet.difference.after or bnet.difference.before)
        for name, convs in (("relation", relation), ("before", before), ("after", after)):
            self._register(name, [conv.weight.flatten(1)[None] for conv in convs])
            self._register(f"{name}_bias", [_bias(conv)[None, :, None] for conv in convs])

    def _copy_attention(self, multimodal: Sequence[Expert]) -> None:
        linears, attention = [], []
        self.scale = 1.0
        for expert in multimodal:
            assert isinstance(expert, MultimodalExpert)
            linears += [_linear(expert.standard[name]) for name in expert.aspects]
            whole = (expert.attention.query, expert.attention.key, expert.attention.value)
            attention += list(torch.cat(whole, dim=-1).unbind(0))
            self.scale = expert.attention.scale
        if multimodal:
            self._register("standard", [linear.weight.T for linear in linears])
            self._register("standard_bias", [_bias(linear)[None] for linear in linears])
            self._register("attention", attention)

    def _copy_heads(self, unimodal: Sequence[Expert], multimodal: Sequence[Expert]) -> None:
        heads = {
            "unimodal": [_head(each) for each in unimodal],
            "multimodal": [_head(each) for each in multimodal],
        }
        every = heads["unimodal"] + heads["multimodal"]
        suffixes = ("", "_reverse") if every[0].lstm.bidirectional else ("",)
        self.directions = len(suffixes)
        for name, group in heads.items():
            if group:
                inputs = [
                    torch.cat(
                        [_gates(head.lstm, f"weight_ih_l0{suffix}").T for suffix in suffixes], dim=1
                    )
                    for head in group
                ]
                biases = [
                    torch.cat([_biases(head.lstm, suffix) for suffix in suffixes]) for head in group
                ]
                self._register(f"{name}_input", inputs)
                self._register(f"{name}_bias", [bias[None] for bias in biases])
        recurrent = [
            _gates(head.lstm, f"weight_hh_l0{suffix}").T for suffix in suffixes for head in every
        ]
        self._register("head_recurrent", recurrent)
        self._register("hidden", [head.hidden.weight.T for head in every])
        self._register("hidden_bias", [_bias(head.hidden)[None] for head in every])
        self._register("out", [head.out.weight.T for head in every])
        self._register("out_bias", [_bias(head.out)[None] for head in every])


def _step(gates: Tensor, cell: Tensor | None) -> tuple[Tensor, Tensor]:
    """Advance LSTMs by one step, gates in the order of ``_gates``."""
    width = gates.shape[-1] // 4
    sigmoids = gates[..., : 3 * width].sigmoid()
    state = sigmoids[..., :width] * gates[..., 3 * width :].tanh()
    if cell is not None:
        state = torch.addcmul(state, sigmoids[..., width : 2 * width], cell)
    return sigmoids[..., 2 * width :] * state.tanh(), state


def _all_states(gates: Tensor, recurrent: Tensor) -> Tensor:
    """Compute all hidden states of batched LSTMs.

    Shape:
        ``(G, B, T, 4 * width)``, ``(G, width, 4 * width)`` → ``(G, B, T, width)``
    """
    hidden, cell = _step(gates[:, :, 0], None)
    states = [hidden]
    for step in range(1, gates.shape[2]):
        hidden, cell = _step(torch.baddbmm(gates[:, :, step], hidden, recurrent), cell)
        states.append(hidden)
    return torch.stack(states, dim=2)


def _last_state(gates: Tensor, recurrent: Tensor, lengths: Tensor) -> Tensor:
    """Compute the hidden state at each sequence's length, at least after one step.

    Shape:
        ``(G, B, T, 4 * width)``, ``(G, width, 4 * width)``, ``(G, B)`` → ``(G, B, width)``
    """
    hidden, cell = _step(gates[:, :, 0], None)
    for step in range(1, gates.shape[2]):
        next_hidden, next_cell = _step(torch.baddbmm(gates[:, :, step], hidden, recurrent), cell)
        runs = (lengths > step)[..., None]
        hidden = torch.where(runs, next_hidden, hidden)
        cell = torch.where(runs, next_cell, cell)
    return hidden


def _gates(lstm: nn.LSTM, name: str) -> Tensor:
    """Reorder a parameter's gates to input, forget, output, candidate: sigmoids adjacent."""
    input_, forget, candidate, output = lstm.get_parameter(name).chunk(4)
    return torch.cat((input_, forget, output, candidate))


def _biases(lstm: nn.LSTM, suffix: str) -> Tensor:
    return _gates(lstm, f"bias_ih_l0{suffix}") + _gates(lstm, f"bias_hh_l0{suffix}")


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
