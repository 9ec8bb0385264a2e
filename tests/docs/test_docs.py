"""The documents say what is so."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from streamer import errors
from streamer.events.validate import problems

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
CODE = ("streamer", "models", "connectors")


def packages() -> set[str]:
    """First two levels of folders that hold code."""
    return {
        path.parent.relative_to(ROOT).as_posix()
        for name in CODE
        for path in (ROOT / name).glob("*/__init__.py")
        if not path.parent.is_symlink()
    }


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


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        linked = (document.parent / path) if path else document
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w]+", "-", title.lower()) for title in headings}


def test_the_example_event_is_valid() -> None:
    text = (ROOT / "docs" / "events.md").read_text("utf-8")
    example = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert example is not None
    event = json.loads(example[1])
    assert problems(event) == []
    documented = set(re.findall(r"`(\w+)`", text))
    assert set(event["data"]) <= documented


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text("utf-8")
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    raised = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.StreamerError)
    }
    assert documented == raised | {0, 2, 70, 130}


def test_every_dependency_is_pinned_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        if "==" in line
    )
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    needed = [Requirement(text) for text in wanted]
    assert [one.name for one in needed if one.name not in pins] == []
    assert [one.name for one in needed if pins[one.name] not in one.specifier] == []
