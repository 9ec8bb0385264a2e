"""Which of a container's streams are the film."""

from __future__ import annotations

from typing import TYPE_CHECKING

from av.stream import Discard, Disposition

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
