"""Layers of the experts: shot embeddings, BNet and multimodal attention (paper, section II)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from streamer.models.experts.tokens import TokenBatch

_SHARE = 0.3
_GAIN = 0.5
_GATES = (1.0, 1.0, 0.0, 2.0)
"""Initial biases of the input, forget, candidate and output gates."""


class ShotEmbedding(nn.Module):
    """Final hidden state of an LSTM over the tokens of a shot (paper, section II-B).

    Args:
        dim: Length of a token.
        width: Length of the shot vector, ``D``.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.lstm = nn.LSTM(dim, width, batch_first=True)
        self._start_as_sum()

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed whole shots.

        Args:
            batch: Tokens ``(S, T, dim)`` and their counts.

        Returns:
            Shot vectors; zero where a shot lacks the aspect.

        Shape:
            ``(S, D)``
        """
        # An empty sequence cannot be packed: run it over one padding token, zeroed below.
        packed = pack_padded_sequence(
            batch.tokens,
            batch.lengths.clamp_min(1).cpu(),
            batch_first=True,
            enforce_sorted=False,
        )
        _, (final, _) = self.lstm(packed)
        vectors: Tensor = final[0]
        return vectors.masked_fill(~batch.present[:, None], 0.0)

    def _start_as_sum(self) -> None:
        """Initialise the LSTM close to a decaying sum of the tokens *(choice)*.

        Distances between tokens then survive from the first step on; a few hundred scenes are
        too few to learn that from random weights.
        """
        with torch.no_grad():
            into, back = self.lstm.weight_ih_l0, self.lstm.weight_hh_l0
            assert isinstance(into, Tensor)
            assert isinstance(back, Tensor)
            into.mul_(_SHARE)
            back.mul_(_SHARE)
            candidate = into[2 * self.width : 3 * self.width]
            diagonal = torch.arange(min(candidate.shape))
            candidate[diagonal, diagonal] += _GAIN
            for bias, start in ((self.lstm.bias_ih_l0, _GATES), (self.lstm.bias_hh_l0, (0.0,) * 4)):
                assert isinstance(bias, Tensor)
                bias.copy_(torch.tensor(start).repeat_interleave(self.width))


BINS = 257
FRAMES = 90
SPECTROGRAM_DIM = BINS * FRAMES
"""Length of a flattened spectrogram: 257 bins (16 kHz, n_fft 512, dB) × 90 frames."""


class SpectrogramEmbedding(nn.Module):
    """Small CNN over a shot's 257 × 90 log-magnitude spectrogram.

    Number and widths of the layers are this project's *(choice)*; input and output are those
    of the base network's public code.

    Args:
        width: Length of the shot vector; 512 there.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        layers: list[nn.Module] = []
        previous = 1
        for channels, stride in ((16, (2, 1)), (32, (2, 2)), (64, (2, 2)), (128, (2, 2))):
            layers += [nn.Conv2d(previous, channels, 3, stride, 1), nn.ReLU()]
            previous = channels
        self.cnn = nn.Sequential(*layers, nn.AdaptiveAvgPool2d((4, 3)), nn.Flatten())
        self.out = nn.Linear(previous * 12, width)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed shots; of a shot with several spectrograms, average the embeddings.

        Args:
            batch: Tokens ``(S, T, 257 * 90)`` and their counts.

        Returns:
            Shot vectors; zero where a shot lacks the aspect.

        Shape:
            ``(S, D)``
        """
        shots, most, _ = batch.tokens.shape
        embedded = self.out(self.cnn(batch.tokens.reshape(-1, 1, BINS, FRAMES)))
        embedded = embedded.reshape(shots, most, self.width)
        columns = batch.lengths.new_tensor(range(most))
        real = columns[None, :] < batch.lengths[:, None]
        total = (embedded * real[..., None]).sum(dim=1)
        mean: Tensor = total / batch.lengths.clamp_min(1)[:, None]
        return mean


_TINY = 1e-16
"""Least squared length in a cosine."""
_VALUES_AT_ONCE = 1 << 21


class Relation(nn.Module):
    """``B_r``: one convolution over all shots of the window, then max over its channels.

    The kernel spans the shots and one feature, so its weights are shared across ``D``.

    Args:
        channels: ``C``.
        reach: ``w_b``.
    """

    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.conv = _unbiased(nn.Conv2d(1, channels, (2 * reach, 1)))

    def forward(self, windows: Tensor) -> Tensor:
        """Convolve the shots of each window.

        Shape:
            ``(N, 2*w_b, D)`` → ``(N, D)``
        """
        rows = _rows(self.conv, windows.shape[1], 0)
        if not torch.is_grad_enabled():
            return torch.cat([_convolved(rows, part).amax(dim=1) for part in _parts(windows, rows)])
        # Only the highest channel has a gradient: keep the others out of the graph.
        with torch.no_grad():
            highest = torch.cat(
                [_convolved(rows, p).max(dim=1).indices for p in _parts(windows, rows)]
            )
        chosen = F.embedding(highest, rows)
        return (chosen[..., :-1] * windows.transpose(1, 2)).sum(dim=-1) + chosen[..., -1]


class Difference(nn.Module):
    """``B_d``: both halves of the window convolved, compared by cosine over ``D``.

    Args:
        channels: ``C``.
        reach: ``w_b``.
        shared: One convolution for both halves, as the public code does *(choice)*; otherwise
            two, as the paper's wording allows.
    """

    def __init__(self, channels: int, reach: int, *, shared: bool) -> None:
        super().__init__()
        self.reach = reach
        self.before = _unbiased(nn.Conv2d(1, channels, (reach, 1)))
        self.after = None if shared else _unbiased(nn.Conv2d(1, channels, (reach, 1)))

    def forward(self, windows: Tensor) -> Tensor:
        """Compare the shots before each boundary with those after it.

        Shape:
            ``(N, 2*w_b, D)`` → ``(N, C)``, within [-1, 1].
        """
        shots = windows.shape[1]
        before = _rows(self.before, shots, 0).double()
        after = _rows(self.after or self.before, shots, self.reach).double()
        # Both sides are linear in the shots, so their cosine follows from the few products of
        # the shots (and a one for the bias). In double precision: nearly equal terms cancel.
        known = F.pad(windows.double(), (0, 0, 0, 1), value=1.0)
        products = torch.matmul(known, known.transpose(1, 2)).flatten(1)
        pairs = torch.cat([_outer(before, after), _outer(before, before), _outer(after, after)])
        dot, left, right = torch.matmul(products, pairs.T).chunk(3, dim=1)
        cosine = dot * (left.clamp_min(_TINY) * right.clamp_min(_TINY)).rsqrt()
        return cosine.to(windows.dtype)


class BNet(nn.Module):
    """``b_i^f``: relation and difference, concatenated; neither activation nor normalisation.

    Args:
        channels: ``C``.
        reach: ``w_b``.
        shared: See ``Difference``.
        relation: False leaves ``B_r`` out, as the base network does for spectrograms.
    """

    def __init__(
        self, channels: int, reach: int, *, shared: bool = True, relation: bool = True
    ) -> None:
        super().__init__()
        self.relation = Relation(channels, reach) if relation else None
        self.difference = Difference(channels, reach, shared=shared)

    def forward(self, windows: Tensor) -> Tensor:
        """Compute the features of each boundary.

        Shape:
            ``(N, 2*w_b, D)`` → ``(N, D + C)``, or ``(N, C)`` without relation.
        """
        difference: Tensor = self.difference(windows)
        if self.relation is None:
            return difference
        return torch.cat((self.relation(windows), difference), dim=1)


def _unbiased(conv: nn.Conv2d) -> nn.Conv2d:
    """Zero a convolution's biases: a random offset would dominate the cosines *(choice)*."""
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def _rows(conv: nn.Conv2d, shots: int, first: int) -> Tensor:
    """Write a convolution over some shots of a window as a matrix over all, biases last.

    Shape:
        ``(C, shots + 1)``
    """
    assert conv.bias is not None
    weight = conv.weight.flatten(1)
    padded = F.pad(weight, (first, shots - first - weight.shape[1]))
    return torch.cat((padded, conv.bias[:, None]), dim=1)


def _convolved(rows: Tensor, windows: Tensor) -> Tensor:
    """Convolve windows, as matrix products.

    Shape:
        ``(C, shots + 1)``, ``(N, shots, D)`` → ``(N, C, D)``
    """
    return torch.baddbmm(rows[:, -1:], rows[:, :-1].expand(len(windows), -1, -1), windows)


def _parts(windows: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    """Split windows into parts whose convolutions fit into a CPU cache."""
    return torch.split(windows, max(1, _VALUES_AT_ONCE // (len(rows) * windows.shape[2])))


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """Multiply all pairs of columns, ``(C, n)`` twice → ``(C, n * n)``."""
    return (left[:, :, None] * right[:, None]).flatten(1)


class MultimodalAttention(nn.Module):
    """Attention among the modalities of the *same* boundary, with skip connections.

    See the paper, section II-C2: one head, no biases; a query a modality, a key and a value a
    source modality, ``softmax(q·k / sqrt(d_std))`` over the modalities present.

    Args:
        modalities: ``M``.
        width: ``d_std``.
    """

    def __init__(self, modalities: int, width: int) -> None:
        super().__init__()
        self.scale = width**-0.5
        shape = (modalities, width, width)
        self.query = nn.Parameter(torch.empty(shape))
        self.key = nn.Parameter(torch.empty(shape))
        self.value = nn.Parameter(torch.empty(shape))
        for matrix in (self.query, self.key, self.value):
            for part in matrix:
                nn.init.xavier_uniform_(part)

    def attend(self, modalities: Tensor, present: Tensor) -> Tensor:
        """Compute the attention of each modality to each modality.

        Args:
            modalities: ``(..., M, d_std)``.
            present: Bool ``(..., M)``; at least one of each row should be true.

        Returns:
            Rows of present modalities sum to one over the present ones; rows of absent ones
            are zero.

        Shape:
            ``(..., M, M)``, queries by keys.
        """
        query = torch.einsum("...md,mde->...me", modalities, self.query)
        key = torch.einsum("...md,mde->...me", modalities, self.key)
        scores = torch.matmul(query, key.transpose(-1, -2)) * self.scale
        # A finite floor: a boundary without any modality must give zeros below, not NaN.
        scores = scores.masked_fill(~present[..., None, :], torch.finfo(scores.dtype).min)
        pairs = present[..., :, None] & present[..., None, :]
        attention: Tensor = scores.softmax(dim=-1) * pairs
        return attention

    def forward(self, modalities: Tensor, present: Tensor) -> Tensor:
        """Fuse the modalities of each boundary.

        Args:
            modalities: ``(..., M, d_std)``.
            present: Bool ``(..., M)``.

        Returns:
            The attended vectors and the inputs (skip), absent ones zero.

        Shape:
            ``(..., 2 * M * d_std)``
        """
        modalities = modalities * present[..., None]
        value = torch.einsum("...md,mde->...me", modalities, self.value)
        attended = torch.matmul(self.attend(modalities, present), value)
        return torch.cat((attended, modalities), dim=-2).flatten(-2)
