"""``scripts/kafka`` as people run it."""

from __future__ import annotations

from pathlib import Path

from tests.kafka import script


def test_an_id_that_looks_like_an_option(tmp_path: Path) -> None:
    data = tmp_path / "data"
    try:
        address = script("start", "--data", data, "--cluster=-kZQh3pTQWKm1yJ0V5cXbA")
        assert address.strip() in script("status", "--data", data)
    finally:
        script("stop", "--data", data)
