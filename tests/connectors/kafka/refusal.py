"""Commands that fail before they begin."""

from __future__ import annotations

import pytest

from streamer.cli.app import run


def refused(
    command: str,
    url: str,
    topic: str,
    config: str,
    film: str,
    capfd: pytest.CaptureFixture[str],
) -> tuple[int, str]:
    """Runs a command that fails before it begins; its code and its only line."""
    words = {
        "tail": ["tail", film, "--quiet", "--sink", f"{url}/{topic}"],
        "consume": ["consume", "--from", f"{url}/{topic}", "--group", f"of-{topic}"],
        "worker": ["worker", "--broker", url],
    }
    code = run([*words[command], "--config", config])
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("error: ")
    return code, captured.err
