from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config.sections import SourceSection
from streamer.connectors.sources.address import is_address, parse, redact
from streamer.connectors.sources.registry import open_source
from streamer.errors import SourceError, SourceUnsupported


@pytest.mark.parametrize(
    ("url", "shown", "plain", "login"),
    [
        ("http://h/a.ts", "http://h/a.ts", "http://h/a.ts", None),
        ("HTTPS://u:p@h:8443/a?t=1#f", "https://h:8443/a", "https://h:8443/a?t=1#f", ("u", "p")),
        ("rtsp://u%40x:p%3Aq@[::1]:554/c", "rtsp://[::1]:554/c", "rtsp://[::1]:554/c", None),
        ("udp://@239.1.2.3:5000?a=1", "udp://@239.1.2.3:5000", "udp://@239.1.2.3:5000?a=1", None),
        ("srt://h:1?passphrase=x", "srt://h:1", "srt://h:1?passphrase=x", None),
    ],
)
def test_an_address_in_parts(
    url: str, shown: str, plain: str, login: tuple[str, str] | None
) -> None:
    found = parse(url)
    assert (found.shown, found.plain) == (shown, plain)
    assert found.url == url
    if "u%40x" in url:
        login = ("u@x", "p:q")
    assert found.login == login


@given(
    user=st.text(st.characters(codec="utf-8", exclude_characters="/?#[]@"), min_size=5),
    password=st.text(min_size=5),
    token=st.text(min_size=5),
)
def test_secrets_are_never_shown(user: str, password: str, token: str) -> None:
    secrets = ["X" + quote(part, safe="") + "Y" for part in (user, password, token)]
    url = f"rtsp://{secrets[0]}:{secrets[1]}@host/path?token={secrets[2]}"
    shown = redact(url) + repr(parse(url)) + parse(url).shown
    assert not any(secret in shown for secret in secrets)


@pytest.mark.parametrize(
    "url", ["http://u:secret@h:99999/x", "http://u:secret@h:port/x", "http://[u:secret@h/x"]
)
def test_what_is_no_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(SourceUnsupported) as caught:
        parse(url)
    assert "secret" not in str(caught.value) + redact(url)
    with pytest.raises(SourceError) as again:
        open_source(url, SourceSection())
    assert "secret" not in str(again.value)


def test_an_unknown_kind_lists_those_there_are() -> None:
    with pytest.raises(SourceUnsupported, match="rtsp") as caught:
        open_source("gopher://u:secret@host/x", SourceSection())
    assert "secret" not in str(caught.value)


def test_paths_are_no_addresses() -> None:
    assert not is_address("film.mkv")
    assert not is_address("a:b.mkv")
    assert redact("/films/a b.mkv") == "/films/a b.mkv"
