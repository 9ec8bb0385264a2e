from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest

from streamer.errors import DatasetError
from streamer.models.dataset.folder import write_movie
from streamer.models.training.memory import memory_errors
from tests.models.toy import toy_movie

if TYPE_CHECKING:
    from pathlib import Path

LIMITED = """
import resource, sys
from pathlib import Path
import torch, streamer.models.training.run, streamer.models.tables.run
from streamer.cli.app import run
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (700 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address space cannot be limited elsewhere")
@pytest.mark.parametrize("command", ["train", "tables"])
def test_too_little_memory_is_one_line_and_leaves_nothing(tmp_path: Path, command: str) -> None:
    for index in range(5):
        # Covariances of tokens this long take two gigabytes.
        movie = toy_movie(f"m{index}", 12, index, dims={"place": 16000, "panns": 5})
        write_movie(tmp_path / "data" / f"m{index}.safetensors", movie)
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, command, str(tmp_path / "data"), "--out", str(out),
         "--jobs", "1", "--quiet"],
        capture_output=True, text=True, timeout=120, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 60, done.stderr
    assert "error: out of memory: use a smaller --batch" in " ".join(done.stderr.split())
    assert done.stdout == ""
    assert not [path for path in out.rglob("*") if path.is_file()]


def test_a_killed_process_is_taken_for_a_lack_of_memory() -> None:
    with (
        pytest.raises(DatasetError, match="was killed, most likely out of memory"),
        memory_errors(),
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
    ):
        pool.submit(os._exit, 9).result(timeout=60)
