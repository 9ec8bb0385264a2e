from __future__ import annotations

import pytest
from typer.testing import CliRunner

from streamer.bench import networks
from streamer.cli.bench import bench as app
from streamer.models.networks.registry import names


def test_costs_of_networks_with_and_without_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"efficientnet-lite0", "panns-cnn14", "grid-flow"} <= set(names())
    monkeypatch.setattr(networks, "names", lambda: ("lgss-audnet", "ge2e", "grid-flow"))
    costs = list(networks.measure_networks(1))
    assert [cost.network for cost in costs] == ["grid-flow", "ge2e", "lgss-audnet"]
    assert [cost.tokens for cost in costs] == [1.0, 0.625, 0.25]
    assert all(cost.together > 0 and 0 < cost.alone < 1 for cost in costs)
    assert costs[0].megabytes == 0
    assert costs[1].megabytes == pytest.approx(5.7, abs=0.1)
    result = CliRunner().invoke(app, ["networks", "--rounds", "1"], catch_exceptions=False)
    assert "speaker: ge2e" in result.stdout
