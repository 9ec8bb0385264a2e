"""Settings: command line over environment over file over defaults."""

from streamer.config.load import load_settings
from streamer.config.settings import Settings

__all__ = ["Settings", "load_settings"]
