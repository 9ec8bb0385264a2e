from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from streamer.cli.app import run
from tests.models.toy import toy_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    Tensors = dict[str, NDArray[np.generic]]


def _put(tensor: str, row: int, value: float) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[tensor][row] = value

    return change


def _swap(tensors: Tensors) -> None:
    for name in ("start", "end"):
        tensors[name][[3, 9]] = tensors[name][[9, 3]]


def _overlap(tensors: Tensors) -> None:
    tensors["end"][5] = tensors["end"][6]


def _one_scene(tensors: Tensors) -> None:
    tensors["boundary"][:] = 0


CASES: dict[str, tuple[Callable[[Tensors], None], str]] = {
    "not a number": (_put("place", 4, np.nan), "movie m0: tensor place, row"),
    "infinite": (_put("vggish", 4, np.inf), "not finite"),
    "a label of 7": (_put("boundary", 5, 7), "movie m0: tensor boundary, row 5: 7 is neither 0"),
    "unsorted": (_swap, "movie m0: tensor start, row 4: shots are not in order"),
    "overlapping": (_overlap, "movie m0: tensor start, row 6: the shot overlaps"),
    "one scene": (_one_scene, "scene boundary"),
}


@pytest.fixture(autouse=True)
def _threads_as_before() -> object:
    before = torch.get_num_threads()
    yield None
    torch.set_num_threads(before)


@pytest.mark.parametrize("command", ["train", "tables"])
@pytest.mark.parametrize("case", CASES)
def test_bad_movies_end_with_60_and_one_line_and_nothing_written(
    case: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = CASES[case]
    folder = toy_folder(tmp_path / "data", 5, 16)
    for name in folder.names if case == "one scene" else ("m0",):
        path = folder.path / f"{name}.safetensors"
        with safe_open(path, framework="np") as file:
            metadata = file.metadata()
        tensors = {key: value.copy() for key, value in load_file(path).items()}
        change(tensors)
        save_file(tensors, path, metadata=metadata)
    out = tmp_path / "out"
    assert run([command, str(folder.path), "--out", str(out), "--jobs", "1", "--quiet"]) == 60
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in " ".join(printed.err.split())
    assert not list(out.glob("*.*"))
