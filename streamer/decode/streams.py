"""Which of a container's streams are the film."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.stream import Discard, Disposition

from streamer.timeline import StreamInfo

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.video.stream import VideoStream

_NOT_A_FILM = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_NOT_THE_SOUND = (
    Disposition.hearing_impaired | Disposition.visual_impaired | Disposition.descriptions
)


def pictures(container: InputContainer) -> list[VideoStream]:
    """Picture streams, best first: default ones, then the largest; cover art is none."""
    found = [s for s in container.streams.video if not s.disposition & _NOT_A_FILM]
    return sorted(found, key=_picture_rank)


def sounds(container: InputContainer) -> list[AudioStream]:
    """Sound streams, best first: for everyone, then default ones, then most channels."""
    return sorted(container.streams.audio, key=_sound_rank)


def discard_others(container: InputContainer, wanted: set[int]) -> None:
    """Lets the demuxer skip what nobody reads."""
    for stream in container.streams:
        if stream.index not in wanted:
            stream.discard = Discard.all


def describe(
    container: InputContainer,
    picture: VideoStream | None,
    sound: AudioStream | None,
    *,
    endless: bool,
) -> StreamInfo:
    """What is known before the first frame.

    Args:
        container: An open input.
        picture: The picture stream in use.
        sound: The sound stream in use.
        endless: The input may still grow, so that its duration means nothing.
    """
    duration = Fraction(container.duration, av.time_base) if container.duration else None
    rate = picture.average_rate or picture.guessed_rate if picture is not None else None
    return StreamInfo(
        has_picture=picture is not None,
        has_sound=sound is not None,
        frame_rate=rate,
        duration=None if endless else duration,
        container=container.format.name,
        picture_codec=None if picture is None else picture.codec_context.name,
        sound_codec=None if sound is None else sound.codec_context.name,
        width=0 if picture is None else picture.width,
        height=0 if picture is None else picture.height,
    )


def _picture_rank(stream: VideoStream) -> tuple[bool, int, int]:
    # A stream without a decoder has no width to ask for.
    pixels = stream.width * stream.height if stream.codec_context is not None else 0
    return not stream.disposition & Disposition.default, -pixels, stream.index


def _sound_rank(stream: AudioStream) -> tuple[bool, bool, int, int]:
    channels = stream.channels if stream.codec_context is not None else 0
    return (
        bool(stream.disposition & _NOT_THE_SOUND),
        not stream.disposition & Disposition.default,
        -channels,
        stream.index,
    )
