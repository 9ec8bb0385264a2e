"""Choose the device that torch runs on."""

from __future__ import annotations

import torch

from streamer.errors import DeviceError


def pick_device(wanted: str, *, threads: int | None = None, allow_tf32: bool = False) -> str:
    """Check that a device is available, and set torch's process-wide threads and TF32 mode.

    Args:
        wanted: ``auto`` (CUDA when there), ``cpu`` or ``cuda``.
        threads: CPU threads of one operation, ≥ 1; None keeps torch's number.
        allow_tf32: Whether a GPU may round inputs of convolutions and recurrences to TF32.

    Returns:
        ``cpu`` or ``cuda``.

    Raises:
        DeviceError: The device is unknown or not available.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"unknown device {wanted!r}: auto, cpu or cuda")
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        raise DeviceError("no CUDA device is available; use --device auto or --device cpu")
    torch.backends.cudnn.allow_tf32 = allow_tf32
    if threads is not None:
        torch.set_num_threads(threads)
    return "cuda" if available and wanted != "cpu" else "cpu"
