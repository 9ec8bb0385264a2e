"""Which device torch runs on, and how it computes there."""

from __future__ import annotations

import torch

from streamer.errors import DeviceError


def pick_device(wanted: str, *, threads: int | None = None, few_bits: bool = False) -> str:
    """Checks a device before anything is loaded, and sets for the process how torch computes.

    Args:
        wanted: ``auto`` (CUDA when there), ``cpu`` or ``cuda``.
        threads: On a CPU, ≥ 1; None leaves their number as it is.
        few_bits: Whether a GPU may round what goes into convolutions and recurrences to TF32.

    Returns:
        ``cpu`` or ``cuda``.

    Raises:
        DeviceError: Unknown, or not there.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"unknown device {wanted!r}: auto, cpu or cuda")
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise DeviceError("no CUDA device is available; use --device auto or --device cpu")
    torch.backends.cudnn.allow_tf32 = few_bits
    if threads is not None:
        torch.set_num_threads(threads)
    return "cuda" if there and wanted != "cpu" else "cpu"
