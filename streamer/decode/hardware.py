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
_SHARED: Final[dict[str, object]] = {"primary_ctx": "1"}


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
    # Every picture stream of an input gets a context: one that all share is all but free. FFmpeg
    # refuses it where somebody else, such as torch, has set it up in another way.
    options = _SHARED if decodes(_SHARED) else None
    return HWAccel(_DEVICE, allow_software_fallback=True, options=options)


@cache
def has_nvdec() -> bool:
    """Whether the linked FFmpeg and the driver can decode on a GPU; asked once a process."""
    return _DEVICE in hwdevices_available() and decodes()


def decodes(options: dict[str, object] | None = None) -> bool:
    """Whether the GPU can be set up for decoding at this moment.

    Args:
        options: Of its context.
    """
    try:
        HWAccel(_DEVICE, options=options).create(Codec(_USUAL, "r"))
    except (FFmpegError, NotImplementedError, RuntimeError, ValueError):
        return False
    return True
