"""How few bits each network bears on a GPU."""

from __future__ import annotations

from collections.abc import Mapping

import torch

MIN_COSINE = 0.999
"""A token in few bits must be at least this close to the float32 one."""

# Network → type for automatic casting. Not named: float32. Float16 has the finer steps and bfloat16
# the range that power spectra need; `tests/models/networks/test_precision.py` holds each to the
# bound. Face finding stays in float32: its thresholds would let other faces through.
_HALF: Mapping[str, torch.dtype] = {
    "efficientnet-lite0": torch.float16,
    "ge2e": torch.float16,
    "yamnet": torch.float16,
    "soundnet-conv5": torch.float16,
    "aisfx-cnn9": torch.bfloat16,
    "musicnn-mtt": torch.bfloat16,
    "ina-smn": torch.bfloat16,
}


def half(network: str, device: torch.device) -> torch.dtype | None:
    """The type a network is cast to.

    Args:
        network: Its name.
        device: Where it runs.

    Returns:
        None for float32: on a CPU, and for networks that do not bear less.
    """
    return _HALF.get(network) if device.type == "cuda" else None


def measured() -> Mapping[str, torch.dtype]:
    """Every network that is cast, and to what."""
    return _HALF
