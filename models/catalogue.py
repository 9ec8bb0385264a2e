"""Catalogue of the systems in the paper's Tables II and III, and of our own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamer.errors import ConfigError

RowKind = Literal["hlss", "combine", "mme", "mixture", "ensemble", "relation"]
Constraint = Literal["variance", "confidence"]

PLACE = "place"
ACOUSTIC_ASPECTS = ("speaker", "vggish", "panns", "openl3", "musicnn")


@dataclass(frozen=True, slots=True)
class Row:
    """One system of the paper's tables.

    Attributes:
        name: As printed, e.g. ``MME_place_PANNs``.
        table: 2 (single systems) or 3 (ways to combine the ten starred ones) or 4
            (relation experts, which are not the paper's).
        kind: Class of model: unimodal, combined or multimodal expert, mixture or ensemble.
        aspects: Its aspects; in table 3 those of the ten experts.
        starred: Whether it is one of the ten experts of the mixture.
        constraint: Regulariser of the mixer's loss.
        masking: Whether experts with the highest consecutive scores are masked.
    """

    name: str
    table: Literal[2, 3, 4]
    kind: RowKind
    aspects: tuple[str, ...]
    starred: bool = False
    constraint: Constraint | None = None
    masking: bool = False


_MIXTURE_ASPECTS = (PLACE, *ACOUSTIC_ASPECTS)

ROWS: tuple[Row, ...] = (
    Row("HLSS_place", 2, "hlss", (PLACE,)),
    Row("HLSS_cast", 2, "hlss", ("cast",)),
    Row("HLSS_action", 2, "hlss", ("action",)),
    Row("HLSS_STFT", 2, "hlss", ("stft",)),
    Row("HLSS_combine", 2, "combine", (PLACE, "cast", "action", "stft")),
    Row("HLSS_PANNs", 2, "hlss", ("panns",), starred=True),
    Row("HLSS_speaker", 2, "hlss", ("speaker",), starred=True),
    Row("HLSS_Musicnn", 2, "hlss", ("musicnn",), starred=True),
    Row("HLSS_Openl3", 2, "hlss", ("openl3",), starred=True),
    Row("HLSS_VGGish", 2, "hlss", ("vggish",), starred=True),
    Row("MME_place_speaker", 2, "mme", (PLACE, "speaker"), starred=True),
    Row("MME_place_PANNs", 2, "mme", (PLACE, "panns"), starred=True),
    Row("MME_place_Musicnn", 2, "mme", (PLACE, "musicnn"), starred=True),
    Row("MME_place_Openl3", 2, "mme", (PLACE, "openl3"), starred=True),
    Row("MME_place_VGGish", 2, "mme", (PLACE, "vggish"), starred=True),
    Row("MOAE", 3, "mixture", _MIXTURE_ASPECTS),
    Row("MOAE_Dvar", 3, "mixture", _MIXTURE_ASPECTS, constraint="variance"),
    Row("MOAE_Dconf", 3, "mixture", _MIXTURE_ASPECTS, constraint="confidence"),
    Row("MOAE_Masking", 3, "mixture", _MIXTURE_ASPECTS, masking=True),
    Row("MOAE_A", 3, "mixture", _MIXTURE_ASPECTS, constraint="variance", masking=True),
    Row("MOAE_B", 3, "mixture", _MIXTURE_ASPECTS, constraint="confidence", masking=True),
    Row("Majority Voting", 3, "ensemble", _MIXTURE_ASPECTS),
    Row("Unweighted Averaging", 3, "ensemble", _MIXTURE_ASPECTS),
    Row("Stacking LR", 3, "ensemble", _MIXTURE_ASPECTS),
    Row("Stacking SVC", 3, "ensemble", _MIXTURE_ASPECTS),
    Row("REL_place", 4, "relation", (PLACE,)),
    Row("REL_sound", 4, "relation", ACOUSTIC_ASPECTS),
    Row("REL_all", 4, "relation", _MIXTURE_ASPECTS),
)

EXPERT_ROWS: tuple[Row, ...] = tuple(row for row in ROWS if row.starred)
"""The ten experts of the mixture, in the order of Table II."""


def find_row(name: str) -> Row:
    """Look up a row.

    Args:
        name: Printed name.

    Raises:
        ConfigError: No row has this name; the message lists the rows.
    """
    for row in ROWS:
        if row.name == name:
            return row
    raise ConfigError(f"no model is called {name!r}; there are: {', '.join(r.name for r in ROWS)}")
