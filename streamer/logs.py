"""Structured log lines on standard error, without global state."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog


def json_logger(*, debug: bool = False, file: TextIO | None = None) -> structlog.BoundLogger:
    """Makes a logger that writes one JSON object a line.

    Args:
        debug: Write debug lines too.
        file: Where to; standard error when None.

    Returns:
        A logger whose lines hold ``timestamp`` (UTC), ``level``, ``event`` and what is passed.
    """
    logger: structlog.BoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(file or sys.stderr),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.DEBUG if debug else logging.INFO
        ),
    )
    return logger
