"""Which device torch runs on."""

from __future__ import annotations

import torch

from streamer.errors import DeviceError


def pick_device(wanted: str) -> str:
    """Checks a device before anything is loaded onto it.

    Args:
        wanted: ``auto`` (CUDA when there), ``cpu`` or ``cuda``.

    Returns:
        ``cpu`` or ``cuda``.

    Raises:
        DeviceError: Unknown, or not there.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"unknown device {wanted!r}: auto, cpu or cuda")
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise DeviceError("no CUDA device is there")
    return "cuda" if there and wanted != "cpu" else "cpu"
