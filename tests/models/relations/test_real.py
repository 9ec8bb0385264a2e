from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from streamer.cli.app import run
from streamer.errors import ConfigError, DatasetError
from streamer.models.dataset.folder import DatasetFolder, write_movie
from streamer.models.dataset.movie import AspectTokens
from streamer.models.relations.real import (
    FUSED,
    Protocol,
    make_real_tables,
    measure_real,
    read_protocol,
)
from tests.models.toy import toy_movie

if TYPE_CHECKING:
    from pathlib import Path

PROTOCOL = Protocol(
    folds=3,
    inner_folds=2,
    lookahead=2,
    lookaheads=(1,),
    penalty=0.001,
    tested=("vgg19", "hsv"),
    histograms=("hsv",),
    bootstrap=200,
    seed=0,
    sets={"A": "a-", "B": "b-"},
)


def _datasets(path: Path, networks: tuple[str, ...] = ("vgg19", "hsv")) -> list[DatasetFolder]:
    for index, name in enumerate(("a-1", "a-2", "b-1")):
        movie = toy_movie(name, 40, index, noise=0.5, dims={"place": 10})
        for width, network in enumerate(networks, 10):
            held = movie.aspects["place"]
            turn = np.random.default_rng(width).standard_normal((10, width))
            tokens = (np.abs(held.tokens @ turn)).astype(np.float32)
            each = replace(movie, aspects={"place": AspectTokens(tokens, held.offsets)})
            write_movie(path / network / f"{name}.safetensors", each)
    return [DatasetFolder(path / network) for network in networks]


def test_every_row_is_measured_on_every_film_once(tmp_path: Path) -> None:
    markdown, files = make_real_tables(_datasets(tmp_path), tmp_path / "out", PROTOCOL)
    assert [file.name for file in files] == ["real.md", "real.csv", "real.json"]
    with (tmp_path / "out" / "real.csv").open() as file:
        lines = list(csv.DictReader(file))
    rows = {(line["system"], line["network"], line["lookahead"]) for line in lines}
    systems = {"novelty", "LR_similarities", "REL_place", "REL_place, network seen"}
    assert rows == {(s, n, "2") for s in systems for n in (FUSED, "vgg19", "hsv")} | {
        ("REL_place", FUSED, "1")
    }
    for row in rows:
        films = [
            line["film"]
            for line in lines
            if (line["system"], line["network"], line["lookahead"]) == row
        ]
        assert sorted(films) == ["a-1", "a-2", "b-1"]
    kept = json.loads((tmp_path / "out" / "real.json").read_text())
    assert kept["datasets"] == {"vgg19": 3, "hsv": 3}
    assert kept["protocol"]["tested"] == ["vgg19", "hsv"]
    shown = next(
        line for line in markdown.splitlines() if line.startswith(f"| REL_place | {FUSED}")
    )
    found = {
        line["film"]: float(line["ap"])
        for line in lines
        if (line["system"], line["network"], line["lookahead"]) == ("REL_place", FUSED, "2")
    }
    mean = f"{(found['a-1'] + found['a-2']) / 2:.3f}".replace("0.", ".")
    assert shown.split("|")[5].strip() == mean


def test_the_shipped_protocol_tests_networks_that_training_lacks() -> None:
    protocol = read_protocol()
    assert protocol.folds == 10
    assert protocol.lookahead == 2
    assert set(protocol.histograms) <= {"hsv"}
    assert list(protocol.sets) == ["OVSD", "BBC", "RAI"]


def test_films_that_disagree_are_refused(tmp_path: Path) -> None:
    datasets = _datasets(tmp_path)
    movie = datasets[1].read("a-2")
    write_movie(
        tmp_path / "hsv" / "a-2.safetensors", replace(movie, boundary=np.roll(movie.boundary, 1))
    )
    with pytest.raises(DatasetError, match=r"movie a-2: hsv and vgg19 disagree"):
        measure_real(datasets, PROTOCOL)


def test_datasets_that_cannot_be_told_apart_or_tested(tmp_path: Path) -> None:
    first, second = _datasets(tmp_path)
    with pytest.raises(ConfigError, match="same name"):
        measure_real([first, first], PROTOCOL)
    with pytest.raises(ConfigError, match="needs another dataset"):
        measure_real([first], PROTOCOL)
    with pytest.raises(ConfigError, match="none of the datasets is called other"):
        measure_real([first, second], PROTOCOL.model_copy(update={"tested": ("other",)}))


def test_a_protocol_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    with pytest.raises(ConfigError, match="cannot be read"):
        read_protocol(file)
    file.write_text("folds = 1\n")
    with pytest.raises(ConfigError, match="folds"):
        read_protocol(file)


def test_the_command_takes_several_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _datasets(tmp_path)
    protocol = tmp_path / "p.toml"
    protocol.write_text(
        "folds = 3\ninner_folds = 2\nlookahead = 2\nlookaheads = []\npenalty = 0.001\n"
        'tested = ["vgg19"]\nhistograms = []\nbootstrap = 50\nseed = 0\n[sets]\nA = "a-"\n'
    )
    first, second = (str(tmp_path / name) for name in ("vgg19", "hsv"))
    wanted = ["--out", str(tmp_path / "out"), "--protocol", str(protocol), "--quiet"]
    assert run(["tables", first, second, *wanted]) == 0
    printed = capsys.readouterr()
    assert "| REL_place | vgg19 | 2 | 3 |" in printed.out
    assert str(tmp_path / "out" / "real.json") in printed.err.replace("\n", "")
    assert run(["tables", first, *wanted]) == 10
    assert "several datasets" in capsys.readouterr().err
    assert run(["tables", first, second, *wanted, "--test", "a-1"]) == 10
    assert "one dataset" in capsys.readouterr().err
