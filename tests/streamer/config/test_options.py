"""Settings are handed to the stages field by field, and their defaults are the stages'."""

from __future__ import annotations

import inspect

import pytest

from streamer.aspects.bank import AspectBank
from streamer.config.sections import AspectsSection, DecodeSection, Section, ShotsSection
from streamer.decode.streams import DecodeOptions
from streamer.pipeline.embedder import ShotEmbedder
from streamer.shots.base import ShotOptions


@pytest.mark.parametrize(
    ("section", "options"), [(DecodeSection, DecodeOptions), (ShotsSection, ShotOptions)]
)
def test_defaults_of_settings_and_stages_are_the_same(
    section: type[Section], options: type[DecodeOptions | ShotOptions]
) -> None:
    assert section().to(options) == options()


def test_what_is_set_reaches_the_stage() -> None:
    chosen = ShotsSection(detector="transnetv2", max_seconds=7.0).to(ShotOptions)
    assert chosen == ShotOptions(detector="transnetv2", max_seconds=7.0)
    assert DecodeSection(threads=3).to(DecodeOptions) == DecodeOptions(threads=3)


@pytest.mark.parametrize("stage", [AspectBank, ShotEmbedder])
def test_the_key_frame_rule_has_the_defaults_of_the_settings(stage: type) -> None:
    defaults = {name: each.default for name, each in inspect.signature(stage).parameters.items()}
    section = AspectsSection()
    assert defaults["key_frame_interval"] == section.key_frame_interval
    assert defaults["key_frame_offset"] == section.key_frame_offset
    assert defaults["max_interleave"] == DecodeSection().max_interleave
