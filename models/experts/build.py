"""Experts by the printed name of their row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamer.errors import ConfigError
from streamer.models.experts.combine import CombinedExpert
from streamer.models.experts.multimodal import MultimodalExpert
from streamer.models.experts.unimodal import UnimodalExpert
from streamer.models.rows import find_row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from streamer.models.experts.expert import Expert
    from streamer.models.experts.size import ExpertSize


def build_expert(name: str, dims: Mapping[str, int], size: ExpertSize, reach: int) -> Expert:
    """Makes the expert of a row of Table II, with fresh parameters.

    Args:
        name: Printed name, e.g. ``MME_place_PANNs``.
        dims: Aspect → length of its tokens; must hold every aspect of the row.
        size: Widths.
        reach: ``w_b``.

    Raises:
        ConfigError: No expert has this name, or an aspect of it is missing.
    """
    row = find_row(name)
    missing = [aspect for aspect in row.aspects if aspect not in dims]
    if missing:
        raise ConfigError(f"{name} needs the aspect {missing[0]!r}, which is not there")
    needed = {aspect: dims[aspect] for aspect in row.aspects}
    if row.kind == "hlss":
        return UnimodalExpert(row.aspects[0], needed[row.aspects[0]], size, reach)
    if row.kind == "mme":
        return MultimodalExpert(needed, size, reach)
    if row.kind == "combine":
        return CombinedExpert(needed, size, reach)
    raise ConfigError(f"{name} combines experts; it is not one")
