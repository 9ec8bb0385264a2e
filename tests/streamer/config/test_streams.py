"""Where a stream's settings come from."""

from __future__ import annotations

import pytest

from streamer.config.load import load_settings
from streamer.config.streams import StreamEntry, parse_entry

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
