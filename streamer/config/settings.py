"""Combine all sections."""

from __future__ import annotations

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from streamer.config.sections import (
    AspectsSection,
    DecodeSection,
    FleetSection,
    HttpSection,
    KafkaSection,
    LoggingSection,
    OutputSection,
    ReconnectSection,
    RuntimeSection,
    SegmentSection,
    ServeSection,
    ShotsSection,
    SourceSection,
    StreamSection,
    ThinningSection,
)


class Settings(BaseSettings):
    """Hold every setting of one stream.

    ``Settings()`` holds the defaults and reads neither environment nor files; only
    `load_settings` does.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix="STREAMER__",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    stream: StreamSection = StreamSection()
    source: SourceSection = SourceSection()
    reconnect: ReconnectSection = ReconnectSection()
    decode: DecodeSection = DecodeSection()
    shots: ShotsSection = ShotsSection()
    aspects: AspectsSection = AspectsSection()
    thinning: ThinningSection = ThinningSection()
    segment: SegmentSection = SegmentSection()
    output: OutputSection = OutputSection()
    kafka: KafkaSection = KafkaSection()
    fleet: FleetSection = FleetSection()
    http: HttpSection = HttpSection()
    serve: ServeSection = ServeSection()
    runtime: RuntimeSection = RuntimeSection()
    logging: LoggingSection = LoggingSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keep only the values that the caller passes."""
        return (init_settings,)
