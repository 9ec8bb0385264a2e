"""Precedence of the four sources, and the one-line errors of each."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.config import Settings, load_settings
from streamer.config.describe import allowed, keys, suggestion
from streamer.errors import ConfigError

VALUES: dict[str, list[object]] = {
    "shots.max_seconds": [10.0, 11.5, 45.0],
    "shots.latency_frames": [1, 7, 48],
    "source.follow": [True, False],
    "runtime.device": ["cpu", "cuda", "auto"],
    "output.emit": [("shots",), ("scenes", "boundaries")],
    "segment.threshold": [0.0, 0.3, 1.0],
    "segment.checkpoint": [Path("a.safetensors"), Path("b.safetensors")],
    "aspects.place.network": ["one", "two"],
    "aspects.vggish.enabled": [True, False],
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.upper().startswith(("STREAMER__", "STREAMER_CONFIG")):
            monkeypatch.delenv(name)


def in_file(key: str, value: object) -> str:
    section, _, leaf = key.rpartition(".")
    shown = str(value) if isinstance(value, Path) else value
    return f"[{section}]\n{leaf} = {json.dumps(shown)}\n"


def in_environment(key: str, value: object) -> tuple[str, str]:
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return "STREAMER__" + key.replace(".", "__").upper(), text


def read(settings: Settings, key: str) -> object:
    value: object = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


@st.composite
def placements(draw: st.DrawFn) -> dict[str, tuple[object, object, object]]:
    """For each key a value or None on the command line, in the environment and in the file."""
    return {
        key: (
            draw(st.none() | st.sampled_from(values)),
            draw(st.none() | st.sampled_from(values)),
            draw(st.none() | st.sampled_from(values)),
        )
        for key, values in VALUES.items()
    }


@given(placements())
def test_command_line_over_environment_over_file_over_defaults(
    tmp_path_factory: pytest.TempPathFactory,
    chosen: dict[str, tuple[object, object, object]],
) -> None:
    path = tmp_path_factory.mktemp("config") / "c.toml"
    tables: dict[str, str] = {}
    for key, (_, _, value) in chosen.items():
        if value is not None:
            section, line, _ = in_file(key, value).split("\n")
            tables[section] = tables.get(section, section + "\n") + line + "\n"
    path.write_text("".join(tables.values()))
    defaults = Settings()
    with pytest.MonkeyPatch.context() as patch:
        for key, (_, value, _) in chosen.items():
            if value is not None:
                patch.setenv(*in_environment(key, value))
        settings = load_settings(path, {key: line for key, (line, _, _) in chosen.items()})
    for key in keys():
        given_values = [value for value in chosen.get(key, ()) if value is not None]
        assert read(settings, key) == (given_values[0] if given_values else read(defaults, key))


def test_defaults_read_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER__SHOTS__MAX_SECONDS", "3")
    assert Settings().shots.max_seconds == 30.0
    assert load_settings().shots.max_seconds == 3.0


def test_a_file_is_read_only_when_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("[shots]\nmax_seconds = 7\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings() == Settings()
    monkeypatch.setenv("STREAMER_CONFIG", "config.toml")
    assert load_settings().shots.max_seconds == 7.0


def test_empty_environment_values_count_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER__SEGMENT__CHECKPOINT", "")
    monkeypatch.setenv("STREAMER__NONSENSE__KEY", "")
    assert load_settings() == Settings()


def test_rules_between_keys_wait_for_all_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[shots]\nmin_seconds = 40\n")
    with pytest.raises(ConfigError, match=r"c\.toml: shots: min_seconds \(40\) must be less than"):
        load_settings(path)
    monkeypatch.setenv("STREAMER__SHOTS__MAX_SECONDS", "50")
    assert load_settings(path).shots.min_seconds == 40.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[shots]\nmax_seconds = '12'",
            'shots.max_seconds = "12": must be a number greater than 0',
        ),
        ("[shots]\nmax_seconds = 0", "shots.max_seconds = 0: must be a number greater than 0"),
        ("[shots]\nmax_seconds = inf", "must be a number greater than 0"),
        ("[shots]\nmax_seconds = nan", "must be a number greater than 0"),
        ("[shots]\nmax_seconds = 2024-01-01", "shots.max_seconds = 2024-01-01: must be a number"),
        ("[shots]\nlatency_frames = true", "must be a whole number from 1 to 48"),
        ("[shots]\nlatency_frames = 2.5", "must be a whole number from 1 to 48"),
        ("[source]\nfollow = 1", "source.follow = 1: must be true or false"),
        (
            "[shots]\nmax_second = 1",
            "unknown key shots.max_second; did you mean shots.max_seconds?",
        ),
        ("[shot]\nmax_seconds = 1", "unknown key shot; did you mean shots?"),
        ("max_seconds = 1", "unknown key max_seconds; did you mean shots.max_seconds?"),
        ("zzz = 1", "unknown key zzz"),
        ("shots = 1", "shots = 1: must be a table with detector"),
        ("[[shots]]\nmax_seconds = 1", "must be a table with"),
        ("[runtime]\ndevice = 'gpu'", 'runtime.device = "gpu": must be one of auto, cpu, cuda'),
        ("[output]\nemit = ['cuts']", "must be a list, each one of boundaries, shots, scenes"),
        ("[output]\nemit = []", "output.emit = []: must be a list"),
        ("[stream]\nname = ''", "must be text of 1 to 200 characters"),
        ("[serve]\ntoken = 'short'", "serve.token = ***: must be text of at least 16 characters"),
        ("[http]\nlisten = 'foo:bar'", 'http.listen = "foo:bar": must be HOST:PORT or a port'),
        ("[aspects.plaice]\nenabled = true", "aspects.plaice; did you mean aspects.place?"),
        ("[aspects.place]\nenable = true", "did you mean aspects.place.enabled?"),
        ("[shots\n", "not valid TOML: "),
        ("a = " + "[" * 100_000, "not valid TOML: "),
    ],
)
def test_errors_in_a_file(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("STREAMER__SHOTS__MAX_SECONDS", "x", 'shots.max_seconds = "x": must be a number greater'),
        ("STREAMER__SHOTS__MAX_SECONDSS", "1", "did you mean shots.max_seconds?"),
        ("STREAMER__SHOT__MAX_SECONDS", "1", "unknown key shot; did you mean shots?"),
        ("STREAMER__SHOTS__MAX_SECONDS__X", "1", "must be a number greater than 0"),
        ("STREAMER__SHOTS", "5", "shots = 5: must be a table with"),
        ("STREAMER__OUTPUT__EMIT", "cuts", "must be a list, each one of boundaries"),
        ("STREAMER__SERVE__TOKEN", "short", "= ***: must be text of at least 16 characters"),
    ],
)
def test_errors_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load_settings()
    assert str(caught.value).split(": ")[0] in name
    assert message in str(caught.value)


def test_a_section_in_the_environment_has_to_be_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER__SHOTS", '{"max_seconds": 5}')
    assert load_settings().shots.max_seconds == 5.0
    monkeypatch.setenv("STREAMER__SHOTS", "{")
    with pytest.raises(ConfigError, match="shots"):
        load_settings()


def test_errors_on_the_command_line() -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(overrides={"http.listen": "foo:bar"})
    assert str(caught.value).startswith('command line: http.listen = "foo:bar": must be HOST:PORT')
    with pytest.raises(ConfigError) as caught:
        load_settings(overrides={"segment.threshold": 1.5, "segment.lookahead": 10})
    assert str(caught.value) == (
        "command line: segment.threshold = 1.5: must be a number from 0 to 1 (and 1 more)"
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read: No such file"):
        load_settings(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_settings(tmp_path)
    binary = tmp_path / "film.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_settings(binary)
    binary.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(ConfigError, match="not a configuration file"):
        load_settings(binary)


def test_every_key_says_what_it_allows() -> None:
    for key in keys():
        assert allowed(key.split(".")) != ""


def test_nothing_is_suggested_for_what_resembles_nothing() -> None:
    assert suggestion(["qqqq"]) is None
    assert suggestion(["shots", "qqqq"]) is None
    assert suggestion(["nowhere", "thresold"]) == "segment.threshold"


@pytest.mark.parametrize(
    "text",
    [
        "password = 12345678",
        "passwort = '12345678'",
        "password = '12345678'\nspool_bytes = 'x'",
        "password = '12345678'",
        "key_password = ['12345678']",
    ],
)
def test_no_error_shows_a_password(tmp_path: Path, text: str) -> None:
    path = tmp_path / "streamer.toml"
    path.write_text(f"[kafka]\n{text}\n")
    with pytest.raises(ConfigError) as refusal:
        load_settings(path)
    shown = "".join(traceback.format_exception(refusal.value))
    assert "12345678" not in shown


def test_passwords_come_from_the_environment_and_are_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for key, value in {"SASL_MECHANISM": "PLAIN", "USERNAME": "a", "PASSWORD": "12345678"}.items():
        monkeypatch.setenv(f"STREAMER__KAFKA__{key}", value)
    settings = load_settings()
    assert settings.kafka.password is not None
    assert settings.kafka.password.get_secret_value() == "12345678"
    assert "12345678" not in f"{settings!r}{settings}{settings.model_dump_json()}"


def test_sinks_in_the_environment_stand_between_spaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER__OUTPUT__SINKS", "kafka://a:1,b:2/t  events.jsonl")
    assert load_settings().output.sinks == ("kafka://a:1,b:2/t", "events.jsonl")
