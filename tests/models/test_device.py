"""Where torch runs, and how it computes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from streamer.cli.training import Size, choose_resources
from streamer.errors import DeviceError
from streamer.models.device import pick_device

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Torch computes behind a test as before it."""
    threads, rounded = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    torch.set_num_threads(2)
    torch.backends.cudnn.allow_tf32 = True
    yield
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = rounded


def test_a_gpu_rounds_nothing_unless_that_is_asked_for() -> None:
    assert pick_device("cpu") == "cpu"
    assert torch.backends.cudnn.allow_tf32 is False
    pick_device("cpu", allow_tf32=True)
    assert torch.backends.cudnn.allow_tf32 is True


def test_threads_are_set_where_a_number_is_given() -> None:
    pick_device("cpu")
    assert torch.get_num_threads() == 2
    pick_device("cpu", threads=3)
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(("size", "threads"), [(Size.compact, 1), (Size.paper, 2)])
def test_training_rounds_nothing_and_small_steps_take_one_thread(size: Size, threads: int) -> None:
    place = choose_resources("cpu", 3, size)
    assert (place.device, place.workers) == ("cpu", 3)
    assert torch.backends.cudnn.allow_tf32 is False
    assert torch.get_num_threads() == threads


def test_a_device_that_does_not_exist_is_refused() -> None:
    with pytest.raises(DeviceError, match="unknown device 'tpu': auto, cpu or cuda"):
        pick_device("tpu")
    assert torch.backends.cudnn.allow_tf32 is True


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_refused() -> None:
    assert pick_device("auto") == "cpu"
    with pytest.raises(DeviceError, match="no CUDA device is available; use --device auto or"):
        pick_device("cuda")
