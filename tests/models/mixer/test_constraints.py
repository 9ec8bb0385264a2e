from __future__ import annotations

import math

import pytest
import torch

from streamer.models.mixer.mixer import confidence_constraint, spread, variance_constraint

WEIGHTS = [0.5, 0.3, 0.2]
ALL = torch.ones(3, dtype=torch.bool)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_variance_by_hand(alpha: float) -> None:
    # Mean 1/3; squares 1/36, 1/900, 4/225 add to 0.046667; a third of it; the root.
    deviation = math.sqrt((1 / 36 + 1 / 900 + 4 / 225) / 3)
    expected = 1 - 1 / (1 + math.tanh(alpha * 0.3 * deviation))
    value = variance_constraint(torch.tensor(WEIGHTS), ALL, alpha)
    assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 10.0])
def test_confidence_by_hand(alpha: float) -> None:
    probability = torch.tensor([0.9, 0.5, 0.25])
    # |p0 - p1| = 0.8, 0, 0.5; times w and beta = 10: 4, 0, 1.
    mean = 5 / 3
    deviation = math.sqrt(((4 - mean) ** 2 + mean**2 + (1 - mean) ** 2) / 3)
    expected = 1 - 1 / (1 + math.tanh(alpha * 4.0 * deviation))
    value = confidence_constraint(torch.tensor(WEIGHTS), probability, ALL, alpha, 10.0)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_gradients_by_finite_differences() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    probability = torch.rand(2, 4, 5, dtype=torch.float64, requires_grad=True)
    present = torch.rand(2, 4, 5) > 0.3
    present[..., 0] = True

    def of_variance(values: torch.Tensor) -> torch.Tensor:
        return variance_constraint(values.softmax(dim=-1), present, 1.0)

    def of_confidence(values: torch.Tensor, chance: torch.Tensor) -> torch.Tensor:
        return confidence_constraint(values.softmax(dim=-1), chance, present, 0.1, 10.0)

    assert torch.autograd.gradcheck(of_variance, (logits,))
    assert torch.autograd.gradcheck(of_confidence, (logits, probability))


def test_equal_weights_cost_nothing_and_have_a_finite_gradient() -> None:
    weights = torch.full((3,), 1 / 3, requires_grad=True)
    value = variance_constraint(weights, ALL, 10.0)
    torch.autograd.backward(value)
    assert value.item() == pytest.approx(0.0, abs=1e-7)
    assert weights.grad is not None
    assert bool(torch.isfinite(weights.grad).all())


def test_absent_experts_do_not_count() -> None:
    present = torch.tensor([True, True, False])
    some = spread(torch.tensor([0.25, 0.75, 0.0]), present)
    two = spread(torch.tensor([0.25, 0.75]), torch.ones(2, dtype=torch.bool))
    assert [v.item() for v in some] == pytest.approx([v.item() for v in two])
    none = spread(torch.zeros(3), torch.zeros(3, dtype=torch.bool))
    assert [v.item() for v in none] == [0.0, 0.0]
