"""The paper's own networks: published names and shapes, and what their published code computes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from streamer.extractor import PictureInput, SoundInput
from streamer.models.networks.mtcnn_facenet import MtcnnFacenet, cut_face, largest_box
from streamer.models.networks.registry import architecture, build
from streamer.models.weights.manifest import PAPER_NETWORKS, PUBLISHED
from streamer.models.weights.published import adopt, take_over
from streamer.models.weights.store import WeightStore
from tests.models.networks import pieces
from tests.models.networks.faces import SITTERS, portrait
from tests.models.networks.published import GOLDEN, as_read

# Of a vector's length: other front ends and orders of summation stay well below.
TOLERANCE = 5e-5
CPU = torch.device("cpu")


class Adopted:
    """A store that holds one network's made-up weights without writing them."""

    def __init__(self, weight_store: WeightStore) -> None:
        self._pulled = weight_store

    def load(self, network: str) -> dict[str, torch.Tensor]:
        entry = PUBLISHED[network]
        tensors = adopt(network, [as_read(network)])
        if entry.needs is not None:
            tensors = take_over(network, tensors, self._pulled.load(entry.needs))
        return {name: torch.from_numpy(values) for name, values in tensors.items()}


@pytest.mark.slow
@pytest.mark.parametrize("network", PUBLISHED)
def test_published_tensors_give_what_the_published_code_computes(
    network: str, weight_store: WeightStore
) -> None:
    entry = PUBLISHED[network]
    extractor = build(entry.slots[0], network, Adopted(weight_store), CPU, Fraction(2))
    assert extractor.network == network
    if network == "mtcnn-facenet":
        faces = torch.stack([portrait(sitter, 160, 160, size=0.8) for sitter in SITTERS])
        module = extractor.module  # type: ignore[attr-defined]  # a TorchExtractor
        assert isinstance(module, MtcnnFacenet)
        with torch.inference_mode():
            tokens = module.descriptor((faces.float() - 127.5) / 128.0)
    else:
        tokens = extractor.embed(pieces.batch(extractor))
    golden = GOLDEN[network]
    assert tokens.shape == (3, extractor.dim)
    for token, row in zip(tokens.numpy(), golden["rows"], strict=True):
        assert np.linalg.norm(token) == pytest.approx(row["norm"], rel=TOLERANCE)
        np.testing.assert_allclose(
            token[golden["at"]], row["values"], atol=TOLERANCE * row["norm"], rtol=0
        )
    if isinstance(extractor.input, SoundInput):
        window = extractor.input.window
        hard = torch.stack(
            [
                torch.zeros(window),
                torch.full((window,), torch.nan),
                torch.full((window,), 0.5),
                torch.where(torch.arange(window) % 100 < 50, 1e30, -1e30),
                torch.full((window,), 1e-38),
            ]
        )
        assert extractor.embed(hard).isfinite().all()
    elif isinstance(extractor.input, PictureInput) and entry.slots != ("cast",):
        size = (1, 3, extractor.input.height, extractor.input.width)
        assert extractor.embed(torch.zeros(size, dtype=torch.uint8)).isfinite().all()


def test_facenet_finds_cuts_and_describes_a_face(weight_store: WeightStore) -> None:
    extractor = build("cast", "mtcnn-facenet", Adopted(weight_store), CPU, Fraction(2))
    seen = portrait(SITTERS[0], 432, 768, size=0.4)
    nobody = torch.full_like(seen, 90)
    tokens = extractor.embed(torch.stack([seen, nobody]))
    assert tokens[0].norm() == pytest.approx(1, abs=1e-5)
    assert tokens[1].isnan().all()
    module = extractor.module  # type: ignore[attr-defined]  # a TorchExtractor
    small = torch.nn.functional.avg_pool2d(seen.float(), 2)
    with torch.inference_mode():
        box = largest_box(module.finder(small))
    assert box is not None
    face = cut_face(seen.float(), box * 2)
    assert face is not None
    # Skin, not the grey wall.
    assert (face[0] - face[2]).median() > 10


def test_a_box_beyond_the_picture_shows_nothing() -> None:
    assert cut_face(torch.zeros(3, 20, 20), torch.tensor([30.0, 3.0, 50.0, 9.0])) is None
    face = cut_face(torch.zeros(3, 20, 20), torch.tensor([-9.0, -9.0, 50.0, 9.0]))
    assert face is not None
    assert face.shape == (3, 160, 160)


def test_every_slot_but_two_has_the_papers_network() -> None:
    # I3D is not described closely enough to be loaded; Musicnn's own checkpoint is the default.
    filled = {slot for entry in PUBLISHED.values() for slot in entry.slots}
    assert set(PAPER_NETWORKS) - filled == {"action", "musicnn"}
    for entry in PUBLISHED.values():
        found = architecture(entry.network)
        assert (found.name, found.slots, found.dim) == (entry.network, entry.slots, entry.dim)
