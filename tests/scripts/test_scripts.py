"""The scripts behind make."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "scripts"


def system_packages(
    listing: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "system-packages", listing],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


@pytest.mark.skipif(shutil.which("dpkg-query") is None, reason="not a Debian system")
def test_nothing_is_done_when_all_is_there(tmp_path: Path) -> None:
    listing = tmp_path / "packages.txt"
    listing.write_text("# a comment\n\nbash  # the shell\ndpkg\n")
    # Without apt-get and sudo on the path, anything but a no-op would fail.
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "env", "sed", "sort", "dpkg-query"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = system_packages(listing, {"PATH": str(tools)})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    listing.write_text("bash\nno-such-package-at-all\n")
    assert system_packages(listing, {"PATH": str(tools)}).returncode != 0
    assert system_packages(tmp_path / "none.txt", {"PATH": str(tools)}).returncode != 0


@pytest.mark.parametrize("listing", sorted(SCRIPTS.glob("packages-*.txt")), ids=lambda p: p.name)
def test_lists_hold_names_of_packages(listing: Path) -> None:
    names = [line.split("#")[0].strip() for line in listing.read_text("utf-8").splitlines()]
    names = [name for name in names if name]
    assert names
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names)


@pytest.mark.parametrize(
    "script",
    [ROOT / ".ci" / "run", *sorted(path for path in SCRIPTS.glob("[!_]*") if not path.suffix)],
    ids=lambda path: path.name,
)
def test_scripts_can_be_run_by_name(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").startswith("#!/usr/bin/env ")


@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_demo_takes_the_users_film_as_it_is_named() -> None:
    plan = subprocess.run(
        ["make", "--dry-run", "demo", "VIDEO=my film's.mp4"],
        cwd=ROOT,
        # Inside `make test` the outer make's variables would make this one report its folders.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert plan.splitlines()[-1] == '.venv/bin/streamer tail -- "$VIDEO"'
    assert "sample" not in plan.splitlines()[-1]
