"""The same networks on a GPU.

Where there is one, tokens are compared with those of the CPU. Everywhere, networks run on fake
tensors of a GPU, which hold no numbers but know on which device they are: a tensor left on the CPU
is noticed without a GPU.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from streamer.aspects.batching import BatchPolicy, SharedExtractors
from streamer.bench.aspects import make_pieces
from streamer.config.sections import AspectsSection
from streamer.extractor import ClipInput, PictureInput
from streamer.models.networks.base import MIN_COSINE, TorchExtractor
from streamer.models.networks.registry import architecture, build
from streamer.models.weights.store import WeightStore

GPU = torch.device("cuda")
DEFAULTS = {name: section.network for name, section in AspectsSection().slots.items()}


def moved(module: nn.Module) -> nn.Module:
    """Puts fake parameters on the fake GPU, which ``Module.to`` refuses to do."""
    for child in module.modules():
        for name, parameter in child._parameters.items():
            if parameter is not None:
                there = nn.Parameter(parameter.detach().to(GPU), requires_grad=False)
                child._parameters[name] = there
        for name, buffer in child._buffers.items():
            if buffer is not None:
                child._buffers[name] = buffer.to(GPU)
    return module


# LSTMs ask for the driver, faces for numbers: these two are left to a real GPU.
@pytest.mark.slow
@pytest.mark.parametrize(
    "network", sorted(set(DEFAULTS.values()) - {"ge2e", "mtcnn-dlib", "grid-flow"})
)
def test_nothing_is_left_on_the_cpu(network: str) -> None:
    about = architecture(network)
    spec = about.input
    assert not isinstance(spec, ClipInput)
    with FakeTensorMode(), torch.no_grad():
        module = moved(about.module().eval())
        if isinstance(spec, PictureInput):
            pieces = torch.zeros(3, 3, spec.height, spec.width, dtype=torch.uint8, device=GPU)
        else:
            pieces = torch.zeros(3, spec.window, device=GPU)
        tokens = module(pieces)
    assert tokens.device.type == "cuda"
    assert tuple(tokens.shape) == (3, about.dim)


def on(device: torch.device, aspect: str, store: WeightStore) -> TorchExtractor:
    made = build(aspect, DEFAULTS[aspect], store, device, Fraction(2))
    assert isinstance(made, TorchExtractor)
    return made


@pytest.mark.gpu
@pytest.mark.parametrize("aspect", sorted(set(DEFAULTS) - {"cast"}))
def test_tokens_are_those_of_the_cpu(aspect: str, weight_store: WeightStore) -> None:
    cpu, gpu = (on(torch.device(name), aspect, weight_store) for name in ("cpu", "cuda"))
    pieces = make_pieces(cpu, 6)
    close = torch.cosine_similarity(cpu.embed(pieces), gpu.embed(pieces), dim=1)
    assert float(close.min()) >= MIN_COSINE


@pytest.mark.gpu
def test_float32_gives_the_numbers_of_the_cpu(weight_store: WeightStore) -> None:
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for aspect in ("place", "panns", "speaker"):
            network = DEFAULTS[aspect]
            wanted, got = (
                build(
                    aspect,
                    network,
                    weight_store,
                    torch.device(name),
                    Fraction(2),
                    mixed_precision=few,
                )
                for name, few in (("cpu", True), ("cuda", False))
            )
            pieces = make_pieces(wanted, 6)
            torch.testing.assert_close(
                got.embed(pieces), wanted.embed(pieces), rtol=1e-4, atol=1e-4
            )


@pytest.mark.gpu
def test_streams_share_a_gpu(weight_store: WeightStore) -> None:
    extractors = [on(GPU, aspect, weight_store) for aspect in ("place", "vggish", "speaker")]
    with (
        SharedExtractors(extractors, BatchPolicy.for_device(GPU), at_once=4) as shared,
        ThreadPoolExecutor(8) as pool,
    ):
        streams = [shared.views(f"s{number}") for number in range(8)]
        for which, extractor in enumerate(extractors):
            pieces = make_pieces(extractor, 8)
            alone = extractor.embed(pieces)
            made = list(
                pool.map(
                    lambda pair: pair[0].embed(pair[1]),
                    ((views[which], pieces[row : row + 1]) for row, views in enumerate(streams)),
                )
            )
            close = torch.cosine_similarity(torch.cat(made), alone, dim=1)
            assert float(close.min()) >= MIN_COSINE
