"""Decoding pictures on a GPU where there is one."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from av.codec import Codec
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.error import FFmpegError

from streamer.errors import DeviceError

if TYPE_CHECKING:
    from collections.abc import Callable

Hardware = Literal["auto", "off", "cuda"]

_DEVICE: Final = "cuda"
_USUAL: Final = "h264"


def accelerator(wanted: Hardware, present: Callable[[], bool] | None = None) -> HWAccel | None:
    """The decoder's helper on the GPU; pictures come back to main memory.

    Codecs that the GPU does not know are decoded on the CPU all the same.

    Args:
        wanted: ``auto`` takes it where it is present, ``cuda`` insists.
        present: Whether it is; asks the system when None.

    Returns:
        What `av.open` takes as ``hwaccel``; None for the CPU.

    Raises:
        DeviceError: It is insisted on and not present.
    """
    if wanted == "off":
        return None
    if not (has_nvdec if present is None else present)():
        if wanted == "auto":
            return None
        raise DeviceError(
            "no GPU here decodes video (decode.hardware = cuda); use auto, or off for the CPU"
        )
    return HWAccel(_DEVICE, allow_software_fallback=True)


@cache
def has_nvdec() -> bool:
    """Whether the linked FFmpeg and the driver can decode on a GPU; asked once a process."""
    if _DEVICE not in hwdevices_available():
        return False
    try:
        HWAccel(_DEVICE).create(Codec(_USUAL, "r"))
    except (FFmpegError, RuntimeError, ValueError):
        return False
    return True
