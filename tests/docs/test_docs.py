"""The documents say what is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from fractions import Fraction
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pydantic import BaseModel

from streamer import __version__, errors
from streamer.config import Settings
from streamer.config.sections import AspectSection
from streamer.events.validate import problems
from streamer.models.dataset.annotations import read_boundaries

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md"), *(ROOT / "docs").rglob("*.md")]
)
CODE = ("streamer", "models", "connectors")


def packages() -> set[str]:
    """First two levels of folders that hold code."""
    return {
        path.parent.relative_to(ROOT).as_posix()
        for name in CODE
        for path in (ROOT / name).glob("*/__init__.py")
        if not path.parent.is_symlink()
    }


def anchors(text: str) -> set[str]:
    """What headings can be linked by: the identifier they give, else their words."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    named = re.findall(r"^#+ .+\{ #([\w-]+) \}$", text, re.MULTILINE)
    return {re.sub(r"[^\w]+", "-", title.lower()) for title in headings} | set(named)


def test_the_architecture_names_every_package_and_no_other() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    table = set(re.findall(r"^\| `([a-z/]+)` \|", text, re.MULTILINE))
    assert table == packages()


def test_modules_named_in_the_documents_exist() -> None:
    missing = [
        (document.name, name)
        for document in DOCUMENTS
        for name in re.findall(
            r"`((?:streamer|models|connectors|scripts)/[\w./-]+)`", document.read_text("utf-8")
        )
        if not (ROOT / name).exists()
    ]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        linked = (document.parent / path) if path else document
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked.read_text("utf-8")), target


def test_the_example_event_is_valid() -> None:
    text = (ROOT / "docs" / "events.md").read_text("utf-8")
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert example is not None
    event = json.loads(example[1])
    assert problems(event) == []
    documented = set(re.findall(r"`(\w+)`", text))
    assert set(event["data"]) <= documented


def test_what_is_generated_is_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "write-reference", "--check"],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs" / "reference" / "exit-codes.md").read_text("utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    raised = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.StreamerError)
    }
    assert documented == raised | {0, 2, 70, 130}


def test_every_setting_is_described() -> None:
    sections: set[type[BaseModel]] = {AspectSection}
    sections |= {type(field.default) for field in Settings.model_fields.values()}
    undescribed = [
        f"{section.__name__}.{name}"
        for section in sections
        for name, field in section.model_fields.items()
        if not field.description
    ]
    assert undescribed == []


def test_each_form_of_annotation_is_read_as_it_stands_there(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "guides" / "annotations.md").read_text("utf-8")
    for name, content in re.findall(r'```\w+ title="([\w.]+)"\n(.*?)```', text, re.DOTALL):
        (tmp_path / name).write_text(content)
    commands = re.findall(r"^streamer extract film.mkv --scenes (.*) --out", text, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        scenes, *options = command.split()
        given = dict(zip(options[::2], options[1::2], strict=True))
        rate = given.get("--frame-rate")
        found = read_boundaries(
            tmp_path / scenes,
            frame_rate=None if rate is None else Fraction(rate),
            shots=tmp_path / given["--shots"] if "--shots" in given else None,
        )
        assert found == [Fraction("61.5"), Fraction("148.25")], command


def test_one_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    released = re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert f"\nversion: {__version__}\n" in citation
    assert released[0] == __version__


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if "==" in line
    )
    extras = project["optional-dependencies"].values()
    wanted = [Requirement(text) for text in (*project["dependencies"], *chain(*extras))]
    needed = [one for one in wanted if one.name != project["name"]]
    assert [one.name for one in needed if one.name not in pins] == []
    assert [one.name for one in needed if pins[one.name] not in one.specifier] == []
