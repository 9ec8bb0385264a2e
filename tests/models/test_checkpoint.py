from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from streamer.errors import CheckpointError
from streamer.models.checkpoint import load, read_header, round_to_half, save_moae
from streamer.models.evaluation.scoring import score_movie
from tests.limits import memory_limit
from tests.models.toy import toy_model, toy_movie

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _edited(
    path: Path,
    tensors: Callable[[dict[str, torch.Tensor]], None] = lambda _: None,
    header: Callable[[dict[str, Any]], None] = lambda _: None,
) -> Path:
    held = load_file(path)
    tensors(held)
    with safe_open(path, framework="pt") as file:
        told = json.loads(file.metadata()["moae"])
    header(told)
    other = path.with_name("edited.safetensors")
    save_file(held, other, metadata={"moae": json.dumps(told)})
    return other


def test_round_trip_bit_for_bit(tmp_path: Path) -> None:
    model = toy_model(threshold=0.37, lookahead=2)
    path = tmp_path / "deep" / "m.safetensors"
    digest = save_moae(model, path, {"trained_on": "toys"})
    loaded = load(path)
    assert loaded.digest == digest
    assert loaded.config == model.config
    assert read_header(path).notes == {"trained_on": "toys"}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    movie = toy_movie("m", 15, 1)
    np.testing.assert_array_equal(
        score_movie(model, movie, 2).scores, score_movie(loaded, movie, 2).scores
    )
    assert save_moae(loaded, tmp_path / "again.safetensors", {"trained_on": "toys"}) == digest
    assert not loaded.training


def test_half_precision_is_stored_without_loss_where_it_suffices(tmp_path: Path) -> None:
    model = toy_model()
    plain, small = tmp_path / "plain.safetensors", tmp_path / "small.safetensors"
    save_moae(model, plain)
    before = score_movie(model, toy_movie("m", 15, 1), 2).scores
    round_to_half(model.experts)
    round_to_half(model.mixer)
    digest = save_moae(model, small)
    held = load_file(small)
    assert held["mixer.out.weight"].dtype == torch.float16
    assert small.stat().st_size < 0.6 * plain.stat().st_size
    loaded = load(small)
    for name, tensor in model.state_dict().items():
        assert loaded.state_dict()[name].dtype == tensor.dtype
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    after = score_movie(loaded, toy_movie("m", 15, 1), 2).scores
    np.testing.assert_allclose(before, after, rtol=0, atol=1e-3)
    assert save_moae(loaded, tmp_path / "again.safetensors") == digest


def test_what_half_precision_cannot_hold_stays() -> None:
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1e6, 0.1]]))
        layer.bias.fill_(0.1)
    round_to_half(layer)
    assert torch.equal(layer.weight, torch.tensor([[1e6, 0.1]]))
    assert layer.bias.item() == torch.tensor(0.1).half().item()


def test_tells_what_each_aspect_must_be(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_moae(toy_model(), path)
    place = load(path).config.aspects["place"]
    assert (place.network, place.dim) == ("toy-place", 14)


def test_wrong_tensors_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_moae(toy_model(), path)
    name = "mixer.out.weight"

    def poison(held: dict[str, torch.Tensor]) -> None:
        held[name][0, 0] = float("nan")

    cases: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
        f"tensor {name} is missing": lambda held: held.pop(name),
        "tensor extra is not expected": lambda held: held.update(extra=torch.zeros(1)),
        rf"tensor {name} is F32 \(9, 8\), expected F32 \(10, 8\)": lambda held: held.update(
            {name: held[name][1:]}
        ),
        f"tensor {name} is F64": lambda held: held.update({name: held[name].double()}),
        f"tensor {name} is BF16": lambda held: held.update({name: held[name].bfloat16()}),
        f"tensor {name} is not finite": poison,
    }
    for message, edit in cases.items():
        with pytest.raises(CheckpointError, match=message):
            load(_edited(path, tensors=edit))


WIDE = {"embedding": 8192, "channels": 8192, "standard": 8192, "recurrent": 8192, "hidden": 8192}


@pytest.mark.parametrize("kept", ["all", "none"])
def test_widths_that_the_file_does_not_hold_cost_nothing(tmp_path: Path, kept: str) -> None:
    path = tmp_path / "m.safetensors"
    save_moae(toy_model(), path)

    def widen(told: dict[str, Any]) -> None:
        told["config"]["size"].update(WIDE)

    def empty(held: dict[str, torch.Tensor]) -> None:
        held.clear()
        held["x"] = torch.zeros(1)

    bomb = _edited(path, tensors=empty if kept == "none" else lambda _: None, header=widen)
    message = "is missing" if kept == "none" else r"expected F32 \(8192,\)"
    with memory_limit(256), pytest.raises(CheckpointError, match=message):
        load(bomb)


def test_what_is_loaded_is_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = toy_model()
    save_moae(model, path)
    loaded = load(path)
    # A file that is cut while it is mapped would end the process.
    with path.open("r+b") as file:
        file.truncate(0)
    for name, tensor in [*loaded.named_parameters(), *loaded.named_buffers()]:
        assert tensor.device.type == "cpu", name
        assert bool(torch.isfinite(tensor).all()), name
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, loaded.get_parameter(name))
        assert loaded.get_parameter(name).requires_grad


def test_loading_draws_no_random_numbers() -> None:
    torch.manual_seed(3)
    load()
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))


def test_wrong_configurations_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_moae(toy_model(), path)
    cases: dict[str, Callable[[dict[str, Any]], Any]] = {
        "format": lambda told: told.update(format="other/9"),
        "config.sequence": lambda told: told["config"].update(sequence=10**9),
        "config.size.embedding": lambda told: told["config"]["size"].update(embedding="wide"),
        "config.shape": lambda told: told["config"].update(shape=3),
        "no model is called 'HLSS_smell'": lambda told: told["config"].update(
            experts=["HLSS_smell"]
        ),
        "experts look at": lambda told: told["config"]["aspects"].pop("panns"),
        "lookahead": lambda told: told["config"].update(lookahead=10),
        "HLSS_PANNs is not a mixture": lambda told: told["config"].update(row="HLSS_PANNs"),
    }
    for message, edit in cases.items():
        with pytest.raises(CheckpointError, match=message):
            load(_edited(path, header=edit))


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(tmp_path)
    garbage = tmp_path / "garbage"
    for content in (b"", b"PK\x03\x04" * 99, b"\xff" * 64):
        garbage.write_bytes(content)
        with pytest.raises(CheckpointError, match="not a checkpoint"):
            load(garbage)
    plain = tmp_path / "plain.safetensors"
    save_file({"a": torch.zeros(1)}, plain)
    with pytest.raises(CheckpointError, match="not a mixture"):
        load(plain)
    whole = tmp_path / "m.safetensors"
    save_moae(toy_model(), whole)
    whole.write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        load(whole)
