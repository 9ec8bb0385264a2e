"""Certificates, for the protocols that FFmpeg carries over TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from requests.utils import DEFAULT_CA_BUNDLE_PATH

if TYPE_CHECKING:
    from streamer.config.sections import SourceSection


def verified(settings: SourceSection) -> dict[str, str]:
    """FFmpeg's options that make it verify a peer, which it does not by default.

    Args:
        settings: With ``ca_file``, else the system's authorities, else those of requests.
    """
    system = ssl.get_default_verify_paths().cafile
    chosen = settings.ca_file or system or DEFAULT_CA_BUNDLE_PATH
    return {"tls_verify": "1", "ca_file": str(chosen)}
