"""Choose the streams of a container to decode."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import av
from av.stream import Discard, Disposition

from streamer.decode.placing import REPEATING
from streamer.errors import NoUsableStream, UnknownCodec
from streamer.samples import forget_channel_orders
from streamer.timeline import StreamInfo

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.codec.context import CodecContext
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream


MAX_FRAME_RATE = 1000
"""A second: what claims more only counts ticks."""

_NOT_A_FILM = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_NOT_THE_SOUND = (
    Disposition.hearing_impaired | Disposition.visual_impaired | Disposition.descriptions
)


@dataclass(frozen=True, slots=True)
class DecodeOptions:
    """Limits and threads of a decoder; `streamer.config.sections.DecodeSection` describes them.

    Attributes:
        threads: Decoder threads, 0 to 64; 0 lets the decoder choose.
        hardware: Whether a GPU decodes: ``auto``, ``off`` or ``cuda``.
        max_pixels: Largest frame that is decoded.
        gap_seconds: Seconds that a live feed may leave out before its input counts as missing.
        max_streams: Most streams that a container may hold.
        max_packet_bytes: Largest packet that is decoded.
    """

    threads: int = 0
    hardware: Literal["auto", "off", "cuda"] = "off"
    max_pixels: int = 8192 * 8192
    gap_seconds: float = 2.0
    max_streams: int = 256
    max_packet_bytes: int = 64 << 20


@dataclass(frozen=True, slots=True)
class Chosen:
    """The streams in use, at least one.

    Attributes:
        picture: The video stream.
        sound: The audio stream.
        warnings: Why one is not used, one line each.
    """

    picture: VideoStream | None
    sound: AudioStream | None
    warnings: tuple[str, ...] = ()

    @property
    def wanted(self) -> list[VideoStream | AudioStream]:
        """Both, or the one there is."""
        return [s for s in (self.picture, self.sound) if s is not None]


def choose(container: InputContainer, options: DecodeOptions, name: str, *, prompt: bool) -> Chosen:
    """Choose the streams, let the demuxer skip the others, and set the decoders up.

    Args:
        container: An open input.
        options: Limits and threads.
        name: The input's, for errors.
        prompt: Frames are wanted as soon as they can be had.

    Raises:
        NoUsableStream: There is neither video nor audio within the limits.
        UnknownCodec: There is no decoder for either.
    """
    forget_channel_orders(container)
    shown, heard = pictures(container), sounds(container)
    if not shown and not heard:
        raise NoUsableStream(f"{name}: holds neither video nor audio")
    picture = next((s for s in shown if s.codec_context is not None), None)
    sound = _heard_with(picture, [s for s in heard if s.codec_context is not None], container)
    if picture is None and sound is None:
        raise UnknownCodec(f"{name}: no decoder for its video or audio")
    warnings = []
    if shown and picture is None:
        warnings.append("no decoder for the video; using audio only")
    if heard and sound is None:
        warnings.append("no decoder for the audio; using video only")
    if picture is not None and picture.width * picture.height > options.max_pixels:
        size = f"{picture.width} x {picture.height}"
        reason = f"its video of {size} is over decode.max_pixels"
        if sound is None:
            raise NoUsableStream(f"{name}: {reason}")
        warnings.append(f"{reason}; using audio only")
        picture = None
    if picture is not None:
        context = picture.codec_context
        # The size may also grow on the way: libavcodec then refuses the packet.
        context.options = {"max_pixels": str(options.max_pixels)}
        context.thread_count = options.threads
        # Each frame thread holds a frame back: too late for live sources and repeated frames.
        late = not prompt and context.name not in REPEATING
        context.thread_type = "AUTO" if late else "SLICE"
    chosen = Chosen(picture, sound, tuple(warnings))
    discard_others(container, {s.index for s in chosen.wanted})
    return chosen


def pictures(container: InputContainer) -> list[VideoStream]:
    """Return video streams, best first: default ones, then the largest; cover art is none."""
    found = [s for s in container.streams.video if not s.disposition & _NOT_A_FILM]
    return sorted(found, key=_picture_rank)


def sounds(container: InputContainer) -> list[AudioStream]:
    """Return audio streams, best first: for everyone, then default ones, then most channels."""
    return sorted(container.streams.audio, key=_sound_rank)


def discard_others(container: InputContainer, wanted: set[int]) -> None:
    """Make the demuxer skip the streams that are not used."""
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
    """Describe what is known before the first frame.

    Args:
        container: An open input.
        picture: The video stream in use.
        sound: The audio stream in use.
        endless: The input may still grow, so that its duration means nothing.
    """
    duration = Fraction(container.duration, av.time_base) if container.duration else None
    rate = picture.average_rate or picture.guessed_rate if picture is not None else None
    if rate is not None and not 0 < rate <= MAX_FRAME_RATE:
        # Nothing but the ticks of the clock is known where no frame has come yet.
        rate = None
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


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """One stream of a container, as shown to people.

    Attributes:
        index: In the container.
        kind: ``video``, ``audio``, ``subtitle``, ``data`` or ``attachment``.
        codec: Short name; ``unknown`` without a decoder.
        detail: Size and rate of frames; rate and channels of audio.
        language: ISO 639 code if known.
        used: Whether it is segmented.
    """

    index: int
    kind: str
    codec: str
    detail: str
    language: str
    used: bool


def facts(container: InputContainer, chosen: Chosen) -> tuple[StreamFacts, ...]:
    """List a container's streams.

    Args:
        container: An open input.
        chosen: The streams in use.
    """
    used = {s.index for s in chosen.wanted}
    return tuple(
        StreamFacts(
            index=stream.index,
            kind=stream.type,
            codec=_codec(stream),
            detail=_detail(stream),
            language=stream.metadata.get("language", ""),
            used=stream.index in used,
        )
        for stream in container.streams
    )


def _codec(stream: Stream) -> str:
    # A stream without a decoder has none; the library's types leave that out.
    context: CodecContext | None = stream.codec_context
    return "unknown" if context is None else context.name


def _detail(stream: Stream) -> str:
    if _codec(stream) == "unknown":
        return ""
    if isinstance(stream, av.VideoStream):
        rate = stream.average_rate or stream.guessed_rate
        film = not stream.disposition & _NOT_A_FILM
        rate_text = (
            f", {float(rate):.3f} frames/s" if film and rate and rate <= MAX_FRAME_RATE else ""
        )
        return f"{stream.width} x {stream.height}{rate_text}"
    if isinstance(stream, av.AudioStream):
        return f"{stream.rate} Hz, {stream.layout.name}"
    return ""


def _heard_with(
    picture: VideoStream | None, heard: list[AudioStream], container: InputContainer
) -> AudioStream | None:
    """Return the best audio; of equals, the one of the video's own programme or variant."""
    if picture is None or not heard:
        return heard[0] if heard else None
    equals = [s for s in heard if _sound_rank(s)[:2] == _sound_rank(heard[0])[:2]]
    related = container.streams.best("audio", related=picture)
    own = None if related is None else related.index
    return next((s for s in equals if s.index == own), heard[0])


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
