"""Where a stream's settings come from."""

from __future__ import annotations

import json

import pytest

from streamer.config.load import load_settings
from streamer.config.streams import StreamEntry, parse_entry
from streamer.connectors.sinks.registry import check_kind
from streamer.errors import ConfigError, SinkError

USUAL = {"source.follow": True, "source.idle_timeout": 7.0, "segment.threshold": 0.25}


def entry(**own: object) -> StreamEntry:
    return StreamEntry.model_validate(
        {"name": "news", "source": "news.ts", "sinks": ["news.jsonl"], **own}
    )


def test_what_an_entry_leaves_open_is_the_files() -> None:
    found = entry().settings(load_settings(None, USUAL))
    assert (found.source.follow, found.source.idle_timeout) == (True, 7.0)
    assert not found.source.realtime
    assert found.segment.threshold == 0.25
    paced = entry().settings(load_settings(None, {"source.realtime": True}))
    assert paced.source.realtime


@pytest.mark.parametrize("own", [True, False])
def test_what_an_entry_says_is_its_own(own: bool) -> None:
    base = load_settings(None, {"source.follow": not own})
    found = entry(follow=own, threshold=0.75).settings(base)
    assert found.source.follow is own
    assert found.segment.threshold == 0.75


def test_text_and_back() -> None:
    for one in (entry(), entry(follow=False, realtime=True)):
        assert parse_entry(one.text(), "here") == one


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"sinks": ["a\0b"]}, "sinks: holds a NUL character"),
        ({"source": "a\0b"}, "source: holds a NUL character"),
        ({"name": "a\0b"}, "name: holds a NUL character"),
        ({"name": "a\udcff"}, "is not valid JSON"),
        ({"threshold": 2}, "threshold: must be at most 1"),
        ({"lookahead": "many"}, "lookahead: must be a whole number"),
        ({"sinks": []}, "sinks: must not be empty"),
        ({"more": 1}, "more: is unknown"),
        ({"follow": 3}, "follow: must be true or false"),
    ],
)
def test_an_entry_is_refused_in_our_own_words(own: dict[str, object], says: str) -> None:
    text = json.dumps({"name": "news", "source": "news.ts", "sinks": ["news.jsonl"], **own})
    with pytest.raises(ConfigError) as raised:
        parse_entry(text, "here")
    assert str(raised.value).startswith(f"here: {says}")
    assert "Input" not in str(raised.value)


@pytest.mark.parametrize(
    "sink", ["a\0b", "file:///a%00b", "x" * 300, "x/" * 3000, "nowhere://a/b", "kafka://a b/c"]
)
def test_a_sink_that_can_never_be_is_refused_before_it_is_tried(sink: str) -> None:
    with pytest.raises(SinkError):
        check_kind(sink)
    check_kind("events.jsonl")
    check_kind("kafka://localhost:9092/scenes")
