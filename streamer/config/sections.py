"""Declare every setting with its default and range; one frozen model a section."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import Field as DataclassField
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import NoDecode

from streamer.config.listen import parse_listen
from streamer.plugins import BUILT_IN, nearest, table

Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Emit = Literal["boundaries", "shots", "scenes"]


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    return tuple(value) if isinstance(value, list) else value


EmitList = Annotated[tuple[Emit, ...], BeforeValidator(_split), NoDecode, Field(min_length=1)]


def _words(value: object) -> object:
    # Commas are part of some locations.
    return tuple(value.split()) if isinstance(value, str) else _split(value)


Locations = Annotated[tuple[str, ...], BeforeValidator(_words), NoDecode]


ASPECT_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
# Datasets store other things than aspects under these names.
RESERVED_ASPECTS = frozenset({"start", "end", "boundary"})


def refused_text(text: str) -> str | None:
    """Describe why a text is not a valid setting, or return None."""
    return "holds a NUL character" if "\0" in text else None


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds control characters or bytes that are no UTF-8")
    return value


Printable = Annotated[str, AfterValidator(_printable)]


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, DataclassField[Any]]]


Options = TypeVar("Options", bound=_Dataclass)


class Section(BaseModel):
    """Group settings; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_named(cls, value: object) -> object:
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(each, (str, Path)) and (wrong := refused_text(str(each))):
                raise ValueError(wrong)
        return value

    def to(self, options: type[Options]) -> Options:
        """Build the options of a stage from the settings of the same names.

        Args:
            options: A dataclass, each of whose fields is a setting of this section.
        """
        return options(**{field.name: getattr(self, field.name) for field in fields(options)})


class StreamSection(Section):
    """Name the stream and set its first epoch."""

    name: Printable | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        examples=["channel-4"],
        description=(
            "Name in events, logs and ids; 1 to 200 characters. Without it, derived from the file "
            "name."
        ),
    )
    epoch: int | None = Field(
        default=None,
        ge=0,
        examples=[0],
        description=(
            "First epoch. Part of every event's id; a live source counts it up at each "
            "reconnection. Without it, 0 for files and pipes; for live feeds, which never come "
            "again, the second of the first connection."
        ),
    )


class SourceSection(Section):
    """Open and read the input."""

    follow: bool = Field(
        default=False,
        description=(
            "Wait for more data at the end of a file that is still being written, like `tail -f`."
        ),
    )
    idle_timeout: PositiveFloat = Field(
        default=10.0,
        description="Seconds without growth after which a followed file has ended.",
    )
    realtime: bool = Field(
        default=False,
        description="Read a file at the speed it plays, as if it were live.",
    )
    live: bool = Field(
        default=False,
        description=(
            "A pipe carries live input: aspects are left out while it is behind, so that its delay "
            "stays bounded. Network feeds and devices are always live, files never."
        ),
    )
    open_seconds: PositiveFloat = Field(
        default=10.0,
        description="Seconds in which a network or device has to answer and show its streams.",
    )
    stall_seconds: PositiveFloat = Field(
        default=10.0,
        description=(
            "Seconds without anything usable after which a network or device counts as stalled."
        ),
    )
    rtsp_transport: Literal["tcp", "udp"] = Field(
        default="tcp",
        description="How RTSP carries media: tcp or udp.",
    )
    ca_file: Path | None = Field(
        default=None,
        examples=["/etc/ssl/media-ca.pem"],
        description=(
            "PEM file of authorities for inputs over TLS (https:// and the like); brokers have "
            "kafka.ca_file. Without it, the usual ones."
        ),
    )
    max_playlist_bytes: PositiveInt = Field(
        default=4 << 20,
        description="Largest HLS or DASH playlist that is read.",
    )


class ReconnectSection(Section):
    """Connect a lost live input again."""

    first_wait_seconds: PositiveFloat = Field(
        default=0.5,
        description=(
            "A live input that goes away is tried again after a random time, at first from 0 to "
            "this."
        ),
    )
    max_wait_seconds: PositiveFloat = Field(
        default=30.0,
        description="Each time from a span twice as long, up to this.",
    )
    attempts: int = Field(
        default=0,
        ge=0,
        description="Attempts in a row before the stream ends; 0 never gives up.",
    )


class DecodeSection(Section):
    """Limit the decoders and set their threads."""

    threads: int = Field(
        default=0,
        ge=0,
        le=64,
        description=(
            "Threads of each decoder, 0 to 64; 0 chooses. The networks have runtime.threads."
        ),
    )
    hardware: Literal["auto", "off", "cuda"] = Field(
        default="off",
        description=(
            "Decode video on a GPU: auto where there is one that works, cuda (an error where "
            "there is none) or off."
        ),
    )
    max_pixels: PositiveInt = Field(
        default=8192 * 8192,
        description="Largest frame that is decoded, in pixels (width × height).",
    )
    queue_pictures: PositiveInt = Field(
        default=32,
        description="Decoded frames that may wait between two stages.",
    )
    max_interleave: PositiveFloat = Field(
        default=3.0,
        description=(
            "Seconds by which audio may run ahead of video, or video ahead of audio, in the "
            "container."
        ),
    )
    gap_seconds: PositiveFloat = Field(
        default=2.0,
        description=(
            "Seconds that a live feed may leave out before its input counts as missing and a new "
            "epoch begins."
        ),
    )
    max_streams: PositiveInt = Field(
        default=256,
        description="Most video, audio and other streams that one container may hold.",
    )
    max_packet_bytes: PositiveInt = Field(
        default=64 << 20,
        description="Largest packet that is decoded; a larger one counts as damage.",
    )


class ShotsSection(Section):
    """Find cuts and close shots."""

    detector: str = Field(
        default="thumbnails",
        description=(
            "What finds cuts: `thumbnails` compares small frames and decides within "
            "latency_frames; `transnetv2` is a network that looks up to 74 frames ahead and takes "
            "a good part of a core (`streamer weights pull transnetv2`). It uses none of the "
            "three thresholds that follow its own. Others are plug-ins: `streamer plugins`."
        ),
    )
    transnet_threshold: Unit = Field(
        default=0.5,
        description="How certain the network must be, 0 to 1.",
    )
    latency_frames: int = Field(
        default=4,
        ge=1,
        le=48,
        description=(
            "Frames after a cut that are seen before it is decided, 1 to 48; fewer where they "
            "span 20 seconds."
        ),
    )
    hard_threshold: Unit = Field(
        default=0.16,
        description="How different two frames must be for a hard cut, 0 to 1.",
    )
    gradual_threshold: Unit = Field(
        default=0.4,
        description="How different the two sides of a fade or dissolve must be, 0 to 1.",
    )
    min_seconds: PositiveFloat = Field(
        default=0.4,
        description="Seconds after a cut in which no other cut is seen.",
    )
    max_seconds: PositiveFloat = Field(
        default=30.0,
        description=(
            "Seconds after which a shot is closed as forced; no boundary is ever reported there."
        ),
    )
    sound_only_seconds: PositiveFloat = Field(
        default=4.0,
        description="Length of a shot, in seconds, while the input has no video.",
    )

    @field_validator("detector")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in BUILT_IN["shot_detectors"]:
            known = table("shot_detectors")
            if name not in known:
                raise ValueError(f"is no shot detector; {nearest(name, known)}")
        return name

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_seconds >= self.max_seconds:
            raise ValueError(
                f"min_seconds ({self.min_seconds:g}) must be less than "
                f"max_seconds ({self.max_seconds:g})"
            )
        return self


class AspectSection(Section):
    """Choose the network of one aspect slot."""

    network: str = Field(
        description="Network that fills the slot; `streamer weights list` lists them."
    )
    enabled: bool = Field(
        default=True,
        description="Whether it is computed; experts that need a disabled slot are masked.",
    )


class AspectsSection(Section):
    """Choose the networks of the paper's slots and of aspects beyond them, and the key frames."""

    place: AspectSection = Field(
        default=AspectSection(network="efficientnet-lite0"),
        description="ImageNet features of key frames.",
    )
    cast: AspectSection = Field(
        default=AspectSection(network="mtcnn-dlib", enabled=False),
        description="Descriptor of the largest face of key frames.",
    )
    action: AspectSection = Field(
        default=AspectSection(network="grid-flow", enabled=False),
        description="How the picture moves; nothing learned, and no actions recognised.",
    )
    stft: AspectSection = Field(
        default=AspectSection(network="ina-smn", enabled=False),
        description="Speech, music or noise.",
    )
    speaker: AspectSection = Field(
        default=AspectSection(network="ge2e"), description="Voice embedding."
    )
    vggish: AspectSection = Field(
        default=AspectSection(network="yamnet"), description="Sound events; not VGGish itself."
    )
    panns: AspectSection = Field(
        default=AspectSection(network="aisfx-cnn9"),
        description="Sound effects; a network of the PANNs family.",
    )
    openl3: AspectSection = Field(
        default=AspectSection(network="soundnet-conv5"),
        description="Sounds learnt from video; not OpenL3 itself.",
    )
    musicnn: AspectSection = Field(
        default=AspectSection(network="musicnn-mtt"), description="Music tagging."
    )
    key_frame_interval: PositiveFloat = Field(
        default=2.0,
        description="Seconds between two key frames of one shot.",
    )
    key_frame_offset: float = Field(
        default=0.2,
        ge=0.0,
        description="Seconds from a cut to the first key frame.",
    )
    extra: dict[str, AspectSection] | None = Field(
        default=None,
        examples=[{"loudness": {"network": "your_package.loudness:NETWORK"}}],
        description=(
            "Aspects beyond the paper's slots, by name, filled by plug-ins or "
            "installed modules: docs/guides/plugins.md."
        ),
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for name in self.extra or ():
            if not ASPECT_NAME.fullmatch(name):
                raise ValueError(f"extra.{name}: a name is lower case, without spaces or dashes")
            if name in type(self).model_fields or name in RESERVED_ASPECTS:
                raise ValueError(f"extra.{name}: the name is taken")
        return self

    @property
    def slots(self) -> dict[str, AspectSection]:
        """Aspect → what fills it: the paper's slots in Table I's order, then the others."""
        sections = ((name, getattr(self, name)) for name in type(self).model_fields)
        own = {name: section for name, section in sections if isinstance(section, AspectSection)}
        return own | (self.extra or {})

    def only(self, names: Collection[str]) -> AspectsSection:
        """The same with exactly the named aspects enabled.

        Args:
            names: Some of ``slots``.

        Raises:
            ValueError: There is no such aspect; the message lists those there are.
        """
        for name in names:
            if name not in self.slots:
                raise ValueError(f"no aspect is called {name}; there are {', '.join(self.slots)}")
        chosen = {
            name: section.model_copy(update={"enabled": name in names})
            for name, section in self.slots.items()
        }
        extra = None if self.extra is None else {name: chosen.pop(name) for name in self.extra}
        return self.model_copy(update=chosen | {"extra": extra})


class ThinningSection(Section):
    """Leave aspects out while a live stream lags."""

    enabled: bool = Field(
        default=True,
        description=(
            "Leave aspects out, step by step, while a live stream is behind; files never are."
        ),
    )
    raise_lag: PositiveFloat = Field(
        default=1.0,
        description="Seconds behind from which more is left out.",
    )
    lower_lag: PositiveFloat = Field(
        default=0.5,
        description="Seconds behind under which there is slack.",
    )
    raise_seconds: PositiveFloat = Field(
        default=2.0,
        description="Seconds from one step to the next while a stream stays behind.",
    )
    lower_seconds: PositiveFloat = Field(
        default=10.0,
        description="Seconds of slack after which a step is taken back.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lower_lag >= self.raise_lag:
            raise ValueError(
                f"lower_lag ({self.lower_lag:g}) must be less than raise_lag ({self.raise_lag:g})"
            )
        return self


class SegmentSection(Section):
    """Choose the checkpoint of experts and mixer, and when a boundary is reported."""

    checkpoint: Path | None = Field(
        default=None,
        examples=["moae.safetensors"],
        description=(
            "Experts and mixer, a safetensors file. Without it, the checkpoint that ships in the "
            "package."
        ),
    )
    threshold: Unit | None = Field(
        default=None,
        examples=[0.5],
        description=(
            "Score from which a boundary is reported, 0 to 1. Without it, the checkpoint's."
        ),
    )
    lookahead: int | None = Field(
        default=None,
        ge=0,
        le=9,
        examples=[2],
        description=(
            "Shots to wait for beyond the window's own, 0 to 9: more is better and later. Without "
            "it, the checkpoint's."
        ),
    )


class OutputSection(Section):
    """Choose which events are written, and where."""

    emit: EmitList = Field(
        default=("boundaries",),
        description="Which events are written: boundaries, shots, scenes.",
    )
    file: Path | None = Field(
        default=None,
        examples=["events.jsonl"],
        description="File that events are appended to. Without it, standard output.",
    )
    sinks: Locations = Field(
        default=(),
        description=(
            "Further places for events: kafka://HOST:PORT/TOPIC, kafkas:// with TLS, or a path. "
            "A named pipe needs a reader within ten seconds. In the environment with spaces "
            "between them."
        ),
    )


class KafkaSection(Section):
    """Connect to Kafka, and keep events while no broker answers."""

    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = Field(
        default="gzip",
        description=(
            "none, gzip, snappy, lz4 or zstd; every client reads gzip without extra packages."
        ),
    )
    create_topics: bool = Field(
        default=False,
        description="Create a topic that a sink needs and that is missing; else it is an error.",
    )
    partitions: int = Field(
        default=4,
        ge=1,
        le=10_000,
        description=(
            "Partitions of topics that are created so, or by streamer topics create. As many as "
            "there will ever be consumers in a group: it cannot be changed later."
        ),
    )
    replicas: int = Field(
        default=1,
        ge=1,
        le=9,
        description="Copies of each topic that is created; 3 where there are three brokers.",
    )
    connect_seconds: PositiveFloat = Field(
        default=10.0,
        description="Seconds for the first answer of a broker.",
    )
    flush_seconds: PositiveFloat = Field(
        default=30.0,
        description=(
            "Seconds at the end for what is still to be delivered; the rest stays in the spool. "
            "Streams of serve that are changed or continue later do not wait."
        ),
    )
    session_seconds: float = Field(
        default=45.0,
        ge=1.0,
        le=300.0,
        description=(
            "Seconds of silence after which a group gives the partitions of a consumer to "
            "another, 1 to 300."
        ),
    )
    start_without_broker: bool = Field(
        default=False,
        description="Start although no broker answers, and collect events in the spool.",
    )
    max_event_bytes: int = Field(
        default=1_000_000,
        ge=1_000,
        le=1_000_000_000,
        description="Largest event, from 1000; the topic's own max.message.bytes counts too.",
    )
    spool: Path | None = Field(
        default=None,
        examples=["/var/lib/streamer/spool"],
        description=(
            "Folder of the spool. Without it, $STREAMER_HOME/spool or else "
            "~/.local/state/streamer/spool."
        ),
    )
    spool_bytes: int = Field(
        default=64 << 20,
        ge=1_000,
        description="Most bytes of events that may wait for a broker, for each stream and topic.",
    )
    spool_full: Literal["wait", "drop-oldest"] = Field(
        default="wait",
        description=(
            "When the spool is full: wait (and end with an error after spool_seconds), or drop- "
            "oldest."
        ),
    )
    spool_seconds: PositiveFloat = Field(
        default=60.0,
        description="Seconds to wait for room in a full spool.",
    )
    ca_file: Path | None = Field(
        default=None,
        examples=["/etc/ssl/kafka-ca.pem"],
        description=(
            "PEM file of authorities for kafkas://; inputs have source.ca_file. Without it, the "
            "system's."
        ),
    )
    certificate_file: Path | None = Field(
        default=None,
        examples=["client.pem"],
        description="PEM files of a client certificate and its key.",
    )
    key_file: Path | None = Field(
        default=None,
        examples=["client.key"],
        description="Goes with certificate_file.",
    )
    key_password: SecretStr | None = Field(
        default=None,
        examples=["secret"],
        description=(
            "Password of key_file; better in the environment: STREAMER__KAFKA__KEY_PASSWORD."
        ),
    )
    verify_hostname: bool = Field(
        default=True,
        description="Whether the broker's certificate has to name the host.",
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        default=None,
        examples=["SCRAM-SHA-512"],
        description="Login: PLAIN (with TLS only), SCRAM-SHA-256 or SCRAM-SHA-512.",
    )
    username: str | None = Field(
        default=None,
        examples=["streamer"],
        description="Goes with sasl_mechanism.",
    )
    password: SecretStr | None = Field(
        default=None,
        examples=["secret"],
        description="Goes with username; better in the environment: STREAMER__KAFKA__PASSWORD.",
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        login = (self.sasl_mechanism, self.username, self.password)
        if None in login and login != (None, None, None):
            raise ValueError("sasl_mechanism, username and password go together")
        return self


def _address(value: str) -> str:
    parse_listen(value)
    return value


class HttpSection(Section):
    """Serve metrics and health."""

    listen: Annotated[str, AfterValidator(_address)] | None = Field(
        default=None,
        examples=["127.0.0.1:9464"],
        description=(
            "Where /metrics, /livez and /readyz are served: HOST:PORT, or a port on loopback; "
            "streamer serve has serve.listen. Without it, nowhere."
        ),
    )
    fresh_seconds: PositiveFloat = Field(
        default=30.0,
        description=(
            "Seconds without progress after which a stream is in trouble. /readyz then fails for "
            "streamer tail, and for streamer serve when none of its streams makes progress; "
            "single ones are named there."
        ),
    )


class FleetSection(Section):
    """Share streams between workers through Kafka."""

    broker: str = Field(
        default="kafka://localhost:9092",
        pattern=r"^kafkas?://[^/@]+/?$",
        description=(
            "Brokers of the fleet's topics: kafka://HOST:PORT[,HOST:PORT], kafkas://… with TLS."
        ),
    )
    prefix: str = Field(
        default="scenes",
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description=(
            "What the names of all topics begin with: scenes.streams, scenes.shots, "
            "scenes.boundaries, …"
        ),
    )
    group: str = Field(
        default="scenes",
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description=(
            "What the names of the workers' groups begin with; another one segments the same "
            "shots again."
        ),
    )
    partitions: int = Field(
        default=16,
        ge=1,
        le=10_000,
        description=(
            "Of topics that are made; the most workers that can share the work. Cannot be changed "
            "later."
        ),
    )
    replicas: int = Field(
        default=1,
        ge=1,
        le=9,
        description="Copies of each topic that is made; 3 where there are three brokers.",
    )
    shots_hours: PositiveFloat = Field(
        default=24.0,
        description=(
            "Hours that shots are kept, for workers that take over and for segmenting again."
        ),
    )
    batch: int = Field(
        default=128,
        ge=1,
        le=1024,
        description="Most shots segmented in one pass, 1 to 1024.",
    )
    batch_wait: float = Field(
        default=0.02,
        ge=0.0,
        le=1.0,
        description=(
            "Seconds that a shot may wait at the brokers for others; with none a worker does "
            "half the work. Networks have runtime.batch_wait."
        ),
    )
    snapshot_shots: int = Field(
        default=16,
        ge=1,
        le=10_000,
        description="Shots of a stream between two saves of its window.",
    )
    rebuild_seconds: PositiveFloat = Field(
        default=3600.0,
        description="How far back a lost window is rebuilt from the shots, in seconds.",
    )
    recovery_seconds: PositiveFloat = Field(
        default=60.0,
        description=(
            "A worker that takes over and makes no progress for so many seconds ends, to be "
            "started again."
        ),
    )
    delivery_seconds: PositiveFloat = Field(
        default=120.0,
        description=(
            "A worker whose records no broker takes for so many seconds ends; started again, it "
            "continues where it stopped."
        ),
    )
    max_streams: int = Field(
        default=16,
        ge=1,
        le=1000,
        description="Most inputs that one worker reads.",
    )
    streams_per_process: int = Field(
        default=16,
        ge=1,
        le=1000,
        description=(
            "Most of them in one process. They share the networks, and a crash; 1 keeps each by "
            "itself."
        ),
    )


class ServeSection(Section):
    """Serve many streams: address, state and limits of ``streamer serve``."""

    listen: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1:9464",
        description=(
            "Where streamer serve shows metrics, health and /streams. Without a host: this "
            "machine only."
        ),
    )
    token: SecretStr | None = Field(
        default=None,
        min_length=16,
        examples=["0123456789abcdef0123456789abcdef"],
        description=(
            "What a request has to bring (Authorization: Bearer …) to change streams, at least 16 "
            "characters; better in the environment: STREAMER__SERVE__TOKEN. Without it, nothing "
            "can be changed there."
        ),
    )
    state: Path | None = Field(
        default=None,
        examples=["/var/lib/streamer/streams"],
        description=(
            "Folder of the streams' states. Without it, $STREAMER_HOME/streams or else "
            "~/.local/state/streamer/streams."
        ),
    )
    max_streams: int = Field(
        default=64,
        ge=1,
        le=2000,
        description="Most inputs at a time, 1 to 2000.",
    )


class RuntimeSection(Section):
    """Choose device, threads and precision of the networks."""

    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="Where networks run: auto, cpu or cuda. auto takes CUDA when it is there.",
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=256,
        description=(
            "Threads for the networks, 0 to 256; 0 chooses. Decoders have decode.threads."
        ),
    )
    precision: Literal["auto", "float32"] = Field(
        default="auto",
        description=(
            "auto or float32. On a GPU, auto computes in half precision and TF32 where tokens "
            "stay close: several times faster, and scores vary a little with what else is "
            "computed. float32 gives scores that repeat."
        ),
    )
    batch_wait: float = Field(
        default=0.05,
        ge=0.0,
        le=1.0,
        description=(
            "Seconds that pieces of several streams may wait for each other on a GPU, 0 to 1. "
            "Brokers have fleet.batch_wait."
        ),
    )
    offline: bool = Field(
        default=False,
        description="Never fetch anything; weights have to be in the cache already.",
    )

    @property
    def mixed_precision(self) -> bool:
        """Whether a GPU may compute in half precision and TF32, where the networks allow it."""
        return self.precision == "auto"


class LoggingSection(Section):
    """Control what is written on standard error."""

    json_logs: bool = Field(
        default=False,
        description="JSON lines on standard error instead of the live line and the table.",
    )
    quiet: bool = Field(
        default=False,
        description="Nothing on standard error but errors.",
    )
    debug: bool = Field(
        default=False,
        description="Debug log lines.",
    )
