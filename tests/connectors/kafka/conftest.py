"""One secured broker for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.films import pictures
from tests.connectors.kafka.secured import KEY_PASSWORD, Secured
from tests.kafka import PASSWORD, USER
from tests.media import Recipe, write_film

Settings = dict[str, object]
Config = Callable[..., str]


@pytest.fixture(scope="session")
def secured() -> Iterator[Secured]:
    started = Secured.start()
    yield started
    started.delete()


@pytest.fixture
def trusted(secured: Secured) -> Settings:
    """Settings of a client that the broker trusts."""
    certificate, key = secured.certificate
    return {
        "ca_file": secured.authority,
        "certificate_file": certificate,
        "key_file": key,
        "key_password": KEY_PASSWORD,
    }


@pytest.fixture
def account() -> Settings:
    """Settings of a login."""
    return {"sasl_mechanism": "SCRAM-SHA-512", "username": USER, "password": PASSWORD}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Writes a settings file with these of ``[kafka]`` and returns its path."""

    def write(**kafka: object) -> str:
        lines = [f'{key} = "{value}"' for key, value in kafka.items()]
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.toml"
        path.write_text("\n".join(["[kafka]", f'spool = "{tmp_path / "spool"}"', *lines, ""]))
        return str(path)

    return write


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Something to tail; it is not read when its sink refuses."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    write_film(path, pictures(shots=1, frames=5), Recipe())
    return str(path)
