from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from streamer.config.sections import AspectsSection
from streamer.errors import ConfigError, WeightsCorrupt
from streamer.extractor import PictureInput
from streamer.models.networks.registry import architecture, build, names
from streamer.models.weights.manifest import MANIFEST, PUBLISHED, WEIGHTLESS
from streamer.models.weights.store import WeightStore

CPU = torch.device("cpu")


class Tensors:
    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self._tensors = tensors

    def load(self, network: str) -> dict[str, torch.Tensor]:
        return self._tensors


ENTRIES = {**MANIFEST, **PUBLISHED, **WEIGHTLESS}


@pytest.mark.parametrize("network", ENTRIES)
def test_manifest_and_architecture_agree(network: str) -> None:
    found, entry = architecture(network), ENTRIES[network]
    assert (found.name, found.slots, found.dim) == (network, entry.slots, entry.dim)


def test_manifest_knows_every_network() -> None:
    assert set(names()) == set(ENTRIES)


def test_weightless_networks_ask_for_none() -> None:
    class Forbidden:
        def load(self, network: str) -> dict[str, torch.Tensor]:
            raise AssertionError(network)

    for network in WEIGHTLESS:
        found = architecture(network)
        assert not found.weights
        extractor = build(found.slots[0], network, Forbidden(), CPU, Fraction(2))
        assert extractor.dim == found.dim


def test_every_default_slot_can_be_built(weight_store: WeightStore) -> None:
    slots = AspectsSection().slots
    assert len(slots) == 9
    kinds = {"place": "picture", "cast": "picture", "action": "clip"}
    for slot, section in slots.items():
        extractor = build(slot, section.network, weight_store, CPU, Fraction(3, 2))
        assert (extractor.aspect, extractor.network) == (slot, section.network)
        assert extractor.kind == kinds.get(slot, "sound")
        if isinstance(extractor.input, PictureInput):
            assert extractor.input.interval == Fraction(3, 2)


def test_unknown_network_lists_what_there_is(weight_store: WeightStore) -> None:
    with pytest.raises(ConfigError, match=r"resnet-9000.*efficientnet-lite0.*yamnet"):
        build("place", "resnet-9000", weight_store, CPU, Fraction(2))


def test_network_in_the_wrong_slot_says_what_fits(weight_store: WeightStore) -> None:
    with pytest.raises(ConfigError, match=r"aspects\.place\.network.*efficientnet-lite0"):
        build("place", "yamnet", weight_store, CPU, Fraction(2))


def test_first_missing_tensor_is_named(weight_store: WeightStore) -> None:
    tensors = weight_store.load("ge2e")
    del tensors["lstm.weight_hh_l1"], tensors["linear.bias"]
    with pytest.raises(WeightsCorrupt, match=r"ge2e: tensor lstm\.weight_hh_l1 is missing"):
        build("speaker", "ge2e", Tensors(tensors), CPU, Fraction(2))


def test_first_wrong_shape_is_named(weight_store: WeightStore) -> None:
    tensors = weight_store.load("ge2e")
    tensors["linear.weight"] = tensors["linear.weight"][:, :255]
    with pytest.raises(WeightsCorrupt, match=r"linear\.weight is \(256, 255\).*\(256, 256\)"):
        build("speaker", "ge2e", Tensors(tensors), CPU, Fraction(2))


def test_wrong_type_is_named(weight_store: WeightStore) -> None:
    tensors = weight_store.load("ge2e")
    tensors["linear.weight"] = tensors["linear.weight"].half()
    with pytest.raises(WeightsCorrupt, match=r"linear\.weight is .*float16"):
        build("speaker", "ge2e", Tensors(tensors), CPU, Fraction(2))


def test_unknown_tensor_is_named(weight_store: WeightStore) -> None:
    tensors = weight_store.load("ge2e") | {"extra": torch.zeros(1)}
    with pytest.raises(WeightsCorrupt, match="tensor extra is unknown"):
        build("speaker", "ge2e", Tensors(tensors), CPU, Fraction(2))
