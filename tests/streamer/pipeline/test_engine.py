"""What the settings say about computing reaches torch and the networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
import torch

from streamer.config.sections import AspectsSection, RuntimeSection
from streamer.errors import DeviceError
from streamer.models.networks.base import Architecture
from streamer.pipeline import engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.models.weights.store import WeightStore

Precision = Literal["auto", "float32"]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Torch computes behind a test as before it."""
    threads, rounded = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = rounded


@pytest.mark.parametrize(("precision", "rounded"), [("auto", True), ("float32", False)])
def test_a_gpu_rounds_unless_told_not_to(precision: Precision, rounded: bool) -> None:
    engine.choose_device(RuntimeSection(device="cpu", precision=precision, threads=2))
    assert torch.backends.cudnn.allow_tf32 is rounded
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(("precision", "cast"), [("auto", True), ("float32", False)])
def test_networks_use_mixed_precision_unless_float32_is_set(
    precision: Precision, cast: bool, weight_store: WeightStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only a GPU casts: the type that each network would have there is asked for on the CPU.
    monkeypatch.setattr(Architecture, "autocast_dtype", lambda self, device: torch.bfloat16)
    settings, runtime = AspectsSection(), RuntimeSection(precision=precision)
    made = engine.load_extractors(
        settings, weight_store, torch.device("cpu"), mixed_precision=runtime.mixed_precision
    )
    types = {getattr(each, "autocast", None) for each in made}
    assert types == {torch.bfloat16 if cast else None}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DeviceError, match="--device cpu"):
        engine.choose_device(RuntimeSection(device="cuda"))
