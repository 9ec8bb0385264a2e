"""The cheap engine and film of the live tests."""

from tests.streamer.live.conftest import engine, film

__all__ = ["engine", "film"]
