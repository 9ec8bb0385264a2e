"""The built wheel and sdist: one package, the core's dependencies only, any working folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from streamer import __version__
from streamer.errors import ExtraMissing

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment that holds the wheel and what it requires without extras.

    Attributes:
        python: Its interpreter.
        folder: A project with its own `models`, `connectors` and `streamer.toml`.
    """

    python: Path
    folder: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the environment's Python in the project's folder."""
        return subprocess.run(
            [self.python, *words],
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home())},
            capture_output=True,
            text=True,
            timeout=240,
        )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, links kept, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("source") / "moae-streamer"
    left_out = shutil.ignore_patterns(
        ".*", "build", "dist", "out", "*.egg-info", "__pycache__", "tests", "site", "deploy"
    )
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    return copy


@pytest.fixture(scope="module")
def built(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an sdist, and of the wheel that is built from it."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation"]
    subprocess.run(
        [*build, "--outdir", str(out), str(source)], check=True, capture_output=True, timeout=240
    )
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    [path] = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("environment")
    python = install(wheel, home / "venv")
    packages = home / "packages"
    packages.mkdir()
    for found in required(Distribution.at(next(site(python).glob("moae_streamer*.dist-info")))):
        link(found, packages)
    (site(python) / "packages.pth").write_text(f"{packages}\n")
    folder = home / "project"
    for name in ("models", "connectors"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("OWN = True\n")
    (folder / "streamer.toml").write_text("[shots]\nmax_seconds = 'not ours'\n")
    return Installed(python, folder)


def install(wheel: Path, where: Path) -> Path:
    venv.create(where)
    python = where / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, timeout=240)
    return python


def site(python: Path) -> Path:
    [folder] = python.parents[1].glob("lib/python3*/site-packages")
    return folder


def required(project: Distribution) -> list[Distribution]:
    """Everything that a distribution needs here, directly or not, without its extras."""
    found: dict[str, Distribution] = {}
    todo = [(project, frozenset[str]())]
    while todo:
        needing, extras = todo.pop()
        for needed in map(Requirement, needing.requires or ()):
            environments = [{"extra": extra} for extra in extras | {""}]
            if needed.marker and not any(map(needed.marker.evaluate, environments)):
                continue
            key = f"{needed.name}[{','.join(sorted(needed.extras))}]"
            if key not in found:
                try:
                    found[key] = distribution(needed.name)
                except PackageNotFoundError:
                    continue
                todo.append((found[key], frozenset(needed.extras)))
    return list(found.values())


def link(found: Distribution, packages: Path) -> None:
    """Link the top-level files and folders of a distribution."""
    for name in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
        if not (packages / name).exists():
            (packages / name).symlink_to(Path(str(found.locate_file(name))))


def top_level(names: list[str]) -> set[str]:
    return {name.split("/")[0] for name in names}


def test_the_wheel_holds_one_package_with_its_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert top_level(names) == {"streamer", f"moae_streamer-{__version__}.dist-info"}
    files = {
        path.relative_to(ROOT).as_posix()
        for top in ("streamer", "models", "connectors")
        for path in (ROOT / top).rglob("*")
        if path.suffix in {".py", ".json", ".safetensors", ".md", ".typed"}
    }
    packed = {name if name.startswith("streamer") else f"streamer/{name}" for name in files}
    assert packed - set(names) == set()
    assert (ROOT / "streamer" / "py.typed").exists()


def test_the_sdist_builds_by_itself(built: Path) -> None:
    [path] = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} <= set(names)
    assert "streamer/models/checkpoints/moae_a.safetensors" in names
    assert not any(name.startswith("tests") for name in names)


def test_an_editable_install_gives_streamer_and_nothing_else(source: Path, tmp_path: Path) -> None:
    hook = "import sys; from setuptools.build_meta import *; build_editable(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", hook, str(tmp_path)], cwd=source, check=True, capture_output=True
    )
    [editable] = tmp_path.glob("*.whl")
    python = install(editable, tmp_path / "venv")
    for needed in ("lazy-loader", "packaging"):
        link(distribution(needed), site(python))
    show = (
        "import importlib.util as u, streamer; print(streamer.__file__);"
        "print([n for n in ('models', 'connectors', 'tests', 'docs') if u.find_spec(n)])"
    )
    found = subprocess.run(
        [python, "-c", show], cwd=tmp_path, env={}, capture_output=True, text=True, check=True
    )
    assert found.stdout.split("\n")[:2] == [str(source / "streamer" / "__init__.py"), "[]"]
    # A new module is seen without another installation.
    (source / "models" / "later.py").write_text("HERE = True\n")
    seen = [str(python), "-c", "from streamer.models.later import HERE; assert HERE"]
    try:
        subprocess.run(seen, cwd=tmp_path, env={}, check=True)
    finally:
        (source / "models" / "later.py").unlink()


def test_it_runs_where_a_project_has_models_of_its_own(installed: Installed) -> None:
    for words in (("-m", "streamer"), (str(installed.python.parent / "streamer"),)):
        told = installed.run(*words, "--version")
        assert (told.returncode, told.stdout) == (0, f"moae-streamer {__version__}\n"), told.stderr
        helped = installed.run(*words, "--help")
        assert (helped.returncode, helped.stderr) == (0, "")
        assert "tail" in helped.stdout
    own = installed.run(
        "-c",
        "import streamer, streamer.models, streamer.connectors, models, connectors;"
        "import streamer.models.checkpoint; print(models.OWN, connectors.OWN)",
    )
    assert (own.returncode, own.stdout, own.stderr) == (0, "True True\n", "")


def test_a_film_is_segmented_without_extras(
    installed: Installed, known_film: Path, weight_store: object
) -> None:
    done = installed.run("-m", "streamer", "tail", "--emit", "shots", str(known_film))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") > 1


def test_what_an_extra_brings_is_named(installed: Installed) -> None:
    refused = installed.run("-m", "streamer", "train", ".", "--out", "out")
    assert refused.returncode == ExtraMissing.exit_code, refused.stderr
    assert refused.stderr == (
        "error: sklearn is not installed: needs pip install 'moae-streamer[train]'\n"
    )
    others = [
        ["evaluate", "."],
        ["calibrate", ".", "--checkpoint", "some.safetensors"],
        ["tables", ".", "--out", "out"],
        ["compose", "--media", ".", "--out", "out"],
        ["sample", "--out", "out"],
    ]
    done = installed.run(
        "-c", f"from streamer.cli.app import run; print(*[run(words) for words in {others}])"
    )
    assert done.stdout.split() == [str(ExtraMissing.exit_code)] * len(others), done.stderr
    assert done.stderr.count("needs pip install 'moae-streamer[train]'") == len(others)


def test_every_module_imports_or_names_its_extra(installed: Installed) -> None:
    walk = (
        "import importlib, pkgutil, streamer\n"
        "from streamer.errors import ExtraMissing\n"
        "named = set()\n"
        "for found in pkgutil.walk_packages(streamer.__path__, 'streamer.', onerror=print):\n"
        "    if not found.name.endswith('__main__'):\n"
        "        try: importlib.import_module(found.name)\n"
        "        except ExtraMissing: named.add(found.name.split('.')[1])\n"
        "print(*sorted(named))\n"
    )
    done = installed.run("-c", walk)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(done.stdout.split()) <= {"models", "bench"}
    assert done.stdout.split()
