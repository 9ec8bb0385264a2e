"""The examples of the Python guide run, and print what they say."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.models.weights.store import WeightStore

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "python.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
NAMES = [re.sub(r"\W+", "-", code.strip().splitlines()[-1])[:40] for code in EXAMPLES]


@pytest.mark.slow
@pytest.mark.parametrize("code", EXAMPLES, ids=NAMES)
def test_an_example_runs(
    code: str, known_film: Path, weight_store: WeightStore, tmp_path: Path
) -> None:
    shutil.copy(known_film, tmp_path / "film.mp4")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    if "Boundary" not in code:
        assert done.stdout
