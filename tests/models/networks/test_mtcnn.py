"""Faces of several pictures at once are those of each alone."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import pytest
import torch
from torch.nn import functional

from streamer.models.networks.base import TorchExtractor
from streamer.models.networks.mtcnn import HEIGHT, WIDTH, Mtcnn
from streamer.models.networks.mtcnn_dlib import MtcnnDlib
from streamer.models.networks.registry import build
from streamer.models.weights.store import WeightStore
from tests.media import texture
from tests.models.networks.faces import SITTERS, portrait


@pytest.fixture(scope="module")
def finder(weight_store: WeightStore) -> Iterator[Mtcnn]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    cast = build("cast", "mtcnn-dlib", weight_store, torch.device("cpu"), Fraction(2))
    assert isinstance(cast, TorchExtractor)
    assert isinstance(cast.module, MtcnnDlib)
    yield cast.module.finder
    torch.set_num_threads(before)


def pictures() -> torch.Tensor:
    """One face, none, three faces, a small one, black."""
    wide = torch.cat([portrait(each, HEIGHT, WIDTH // 3) for each in SITTERS], dim=2)
    nobody = torch.from_numpy(texture(3, WIDTH, HEIGHT).copy()).permute(2, 0, 1)
    made = [portrait(SITTERS[0], HEIGHT, WIDTH), nobody, wide]
    made += [portrait(SITTERS[1], HEIGHT, WIDTH, size=0.12), torch.zeros_like(nobody)]
    return functional.avg_pool2d(torch.stack([each.float() for each in made]), 2)


def test_faces_found_together_are_those_found_alone(finder: Mtcnn) -> None:
    given = pictures()
    with torch.inference_mode():
        alone = [finder(picture) for picture in given]
        together = finder.find(given)
        on_this_device = finder.find_all(given)
    assert [len(faces.boxes) for faces in alone] == [1, 0, 3, 1, 0]
    for one, other, third in zip(alone, together, on_this_device, strict=True):
        assert torch.equal(one.boxes, third.boxes)
        torch.testing.assert_close(other.boxes, one.boxes, rtol=0, atol=1e-2)
        torch.testing.assert_close(other.points, one.points, rtol=0, atol=1e-2)
        torch.testing.assert_close(other.scores, one.scores, rtol=0, atol=1e-5)


def test_no_pictures_have_no_faces(finder: Mtcnn) -> None:
    with torch.inference_mode():
        assert finder.find_all(torch.zeros(0, 3, 216, 384)) == []
