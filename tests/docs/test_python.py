"""The examples of the Python guide run, and print what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.models.weights.store import WeightStore

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "python.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
NAMES = [re.sub(r"\W+", "-", code.strip().splitlines()[-1])[:40] for code in EXAMPLES]


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/quickstart.md"])
def test_the_first_program_runs(
    page: str, known_film: Path, weight_store: WeightStore, tmp_path: Path
) -> None:
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    printed = run(program, known_film, tmp_path)
    assert all(re.fullmatch(r"[\d.]+ [\d.]+", line) for line in printed.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("code", EXAMPLES, ids=NAMES)
def test_an_example_runs(
    code: str, known_film: Path, weight_store: WeightStore, tmp_path: Path
) -> None:
    printed = run(code, known_film, tmp_path)
    if "Boundary" not in code:
        assert printed


def run(program: str, film: Path, folder: Path) -> str:
    """Run a program beside a film, and return what it prints."""
    shutil.copy(film, folder / "film.mp4")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
