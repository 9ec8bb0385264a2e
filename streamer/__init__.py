"""Live scene boundaries in video."""

__version__ = "0.2.0"
