from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from streamer.models.evaluation.scoring import relate_movie, score_relations
from streamer.models.tables.everywhere import decided, judge_everywhere
from tests.models.toy import toy_model, toy_movie


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield None
    torch.set_num_threads(before)


@pytest.mark.parametrize("shots", [1, 2, 9, 34])
def test_all_look_aheads_are_those_of_single_passes(shots: int) -> None:
    models = {"MOAE": toy_model(row="MOAE"), "MOAE_A": toy_model(row="MOAE_A")}
    movie = toy_movie("m", shots, 5, missing=0.2)
    relations = relate_movie(models["MOAE"], movie)
    said = judge_everywhere(models, relations)
    for name, model in models.items():
        for lookahead in (0, 1, 5, 9, None):
            alone = score_relations(model, relations, lookahead)
            same = partial(np.testing.assert_allclose, atol=1e-5)
            same(decided(said.scores[name], lookahead), alone.scores)
            same(decided(said.weights[name], lookahead), alone.weights)
            same(decided(said.probability, lookahead), alone.probability)
            same(decided(said.present, lookahead), alone.present)
