"""Every setting with its default and range; one frozen model per stage."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)
from pydantic_settings import NoDecode

from streamer.config.listen import parse_listen

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
# Names that datasets use for other things than aspects.
RESERVED_ASPECTS = frozenset({"start", "end", "boundary"})


class Section(BaseModel):
    """A group of settings; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True
    )


class StreamSection(Section):
    """Who the stream is."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    epoch: int | None = Field(default=None, ge=0)


class SourceSection(Section):
    """How input is read."""

    follow: bool = False
    idle_timeout: PositiveFloat = 10.0
    realtime: bool = False
    open_seconds: PositiveFloat = 10.0
    stall_seconds: PositiveFloat = 10.0
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    ca_file: Path | None = None
    max_playlist_bytes: PositiveInt = 4 << 20


class ReconnectSection(Section):
    """What happens when a live input goes away."""

    first_wait_seconds: PositiveFloat = 0.5
    max_wait_seconds: PositiveFloat = 30.0
    attempts: int = Field(default=0, ge=0)


class DecodeSection(Section):
    """Limits and threads of the decoders."""

    threads: int = Field(default=0, ge=0, le=64)
    hardware: Literal["auto", "off", "cuda"] = "off"
    max_pixels: PositiveInt = 8192 * 8192
    queue_pictures: PositiveInt = 32
    max_interleave: PositiveFloat = 3.0
    gap_seconds: PositiveFloat = 2.0
    max_streams: PositiveInt = 256
    max_packet_bytes: PositiveInt = 64 << 20


class ShotsSection(Section):
    """Thresholds of the shot splitter."""

    detector: Literal["thumbnails", "transnetv2"] = "thumbnails"
    transnet_threshold: Unit = 0.5
    latency_frames: int = Field(default=4, ge=1, le=48)
    hard_threshold: Unit = 0.16
    gradual_threshold: Unit = 0.4
    min_seconds: PositiveFloat = 0.4
    max_seconds: PositiveFloat = 30.0
    sound_only_seconds: PositiveFloat = 4.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_seconds >= self.max_seconds:
            raise ValueError(
                f"min_seconds ({self.min_seconds:g}) must be less than "
                f"max_seconds ({self.max_seconds:g})"
            )
        return self


class AspectSection(Section):
    """What fills one aspect slot."""

    network: str
    enabled: bool = True


class AspectsSection(Section):
    """The slots of the paper, aspects beyond them, and the key-frame rule."""

    place: AspectSection = AspectSection(network="efficientnet-lite0")
    cast: AspectSection = AspectSection(network="mtcnn-dlib", enabled=False)
    action: AspectSection = AspectSection(network="grid-flow", enabled=False)
    stft: AspectSection = AspectSection(network="ina-smn", enabled=False)
    speaker: AspectSection = AspectSection(network="ge2e")
    vggish: AspectSection = AspectSection(network="yamnet")
    panns: AspectSection = AspectSection(network="aisfx-cnn9")
    openl3: AspectSection = AspectSection(network="soundnet-conv5")
    musicnn: AspectSection = AspectSection(network="musicnn-mtt")
    key_frame_interval: PositiveFloat = 2.0
    key_frame_offset: float = Field(default=0.2, ge=0.0)
    extra: dict[str, AspectSection] | None = None

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
    """When aspects of a live stream that is behind are thinned."""

    enabled: bool = True
    raise_lag: PositiveFloat = 1.0
    lower_lag: PositiveFloat = 0.5
    raise_seconds: PositiveFloat = 2.0
    lower_seconds: PositiveFloat = 10.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lower_lag >= self.raise_lag:
            raise ValueError(
                f"lower_lag ({self.lower_lag:g}) must be less than raise_lag ({self.raise_lag:g})"
            )
        return self


class SegmentSection(Section):
    """The experts-and-mixer checkpoint and how it is read."""

    checkpoint: Path | None = None
    threshold: Unit | None = None
    lookahead: int | None = Field(default=None, ge=0, le=9)


class OutputSection(Section):
    """What is written where."""

    emit: EmitList = ("boundaries",)
    file: Path | None = None
    sinks: Locations = ()


class KafkaSection(Section):
    """How Kafka is reached, and what becomes of events while it is not."""

    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "gzip"
    connect_seconds: PositiveFloat = 10.0
    flush_seconds: PositiveFloat = 30.0
    session_seconds: float = Field(default=45.0, ge=1.0, le=300.0)
    start_without_broker: bool = False
    max_event_bytes: int = Field(default=1_000_000, ge=1_000, le=1_000_000_000)
    spool: Path | None = None
    spool_bytes: int = Field(default=64 << 20, ge=1_000)
    spool_full: Literal["wait", "drop-oldest"] = "wait"
    spool_seconds: PositiveFloat = 60.0
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    key_password: SecretStr | None = None
    verify_hostname: bool = True
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: SecretStr | None = None

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
    """Where metrics and health are served."""

    listen: Annotated[str, AfterValidator(_address)] | None = None
    fresh_seconds: PositiveFloat = 30.0


class FleetSection(Section):
    """Workers that share streams by way of Kafka."""

    broker: str = Field(default="kafka://localhost:9092", pattern=r"^kafkas?://[^/@]+/?$")
    prefix: str = Field(default="scenes", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    group: str = Field(default="scenes", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    partitions: int = Field(default=16, ge=1, le=10_000)
    replicas: int = Field(default=1, ge=1, le=9)
    shots_hours: PositiveFloat = 24.0
    batch: int = Field(default=128, ge=1, le=1024)
    batch_wait: float = Field(default=0.02, ge=0.0, le=1.0)
    snapshot_shots: int = Field(default=16, ge=1, le=10_000)
    rebuild_seconds: PositiveFloat = 3600.0
    recovery_seconds: PositiveFloat = 60.0
    delivery_seconds: PositiveFloat = 120.0
    max_streams: int = Field(default=16, ge=1, le=1000)
    streams_per_process: int = Field(default=16, ge=1, le=1000)


class ServeSection(Section):
    """How ``streamer serve`` is reached and where it keeps state."""

    listen: Annotated[str, AfterValidator(_address)] = "127.0.0.1:9464"
    token: SecretStr | None = Field(default=None, min_length=16)
    state: Path | None = None
    max_streams: int = Field(default=64, ge=1, le=2000)


class RuntimeSection(Section):
    """Compute device and caches."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=0, ge=0, le=256)
    precision: Literal["auto", "float32"] = "auto"
    batch_wait: float = Field(default=0.05, ge=0.0, le=1.0)
    offline: bool = False

    @property
    def mixed_precision(self) -> bool:
        """Whether a GPU may compute in half precision and TF32, where the networks allow it."""
        return self.precision == "auto"


class LoggingSection(Section):
    """What is said on standard error."""

    json_logs: bool = False
    quiet: bool = False
    debug: bool = False
