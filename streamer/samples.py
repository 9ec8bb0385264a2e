"""Sound frames past two faults of PyAV 18.1 that end the process.

It counts the planes of a frame by looking for a null pointer, and reads past their array where
there are eight or more. And it frees the list of places of a channel layout that has no name with
every `av.AudioLayout` made of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from av import AudioFrame
from av.audio.plane import AudioPlane

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext
    from av.container import InputContainer
    from numpy.typing import NDArray

_TYPES: Final = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}


def samples_of(frame: AudioFrame) -> NDArray[Any]:
    """Read a frame without asking PyAV how many planes it has.

    Args:
        frame: Any layout and sample format.

    Returns:
        ``(samples, channels)``; it may share the frame's memory.
    """
    channels, count = frame.layout.nb_channels, frame.samples
    kind = np.dtype(_TYPES[frame.format.packed.name])
    if not count:
        return np.zeros((0, channels), kind)
    wide = count if frame.format.is_planar else count * channels
    planes = [
        np.frombuffer(memoryview(AudioPlane(frame, number)), kind, wide)
        for number in range(channels if frame.format.is_planar else 1)
    ]
    return np.stack(planes, axis=1) if len(planes) > 1 else planes[0].reshape(count, channels)


def packed(samples: NDArray[Any], layout: str, rate: int) -> AudioFrame:
    """Make an interleaved frame.

    Args:
        samples: ``(samples, channels)``, unsigned 8-bit, 16- or 32-bit integers or floats.
        layout: A name that `mixes` accepts, with as many channels.
        rate: Samples a second.
    """
    name = next(name for name, kind in _TYPES.items() if samples.dtype == kind)
    flat = np.ascontiguousarray(samples).reshape(1, -1)
    made = AudioFrame.from_ndarray(flat, name, layout)
    made.sample_rate = rate
    return made


def named(layout: str) -> bool:
    """Say whether a layout has a name of its own, instead of a count or a list of places.

    No `av.AudioLayout` may be made of a list.

    Args:
        layout: As FFmpeg describes it.
    """
    return " channels" not in layout and not layout.startswith("ambisonic")


def forget_channel_orders(container: InputContainer) -> None:
    """Keep only the number of channels where a container lists their places one by one.

    After this, neither the streams nor their frames hold a list; layouts that have a name stay. To
    be called before anything else asks for a stream's layout or channels.

    Args:
        container: An open input, of which nothing is decoded yet.
    """
    for stream in container.streams.audio:
        # A stream without a decoder has no context; the library's types leave that out.
        context: AudioCodecContext | None = stream.codec_context
        if context is None:
            continue
        # The list is freed with this, and by then nothing else holds it.
        layout = context.layout
        if not named(layout.name):
            context.layout = f"{layout.nb_channels} channels"
