"""Drawn faces: enough like a face for the finder, the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sitter:
    """Who is drawn; lengths in units of the head's half height.

    Attributes:
        skin: RGB 0 … 255.
        hair: RGB 0 … 255.
        width: Half width of the head.
        eyes: Half the distance between the eyes.
        nose: Length of the nose.
        mouth: Half width of the mouth.
        brow: Thickness of the eyebrows.
    """

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    width: float
    eyes: float
    nose: float
    mouth: float
    brow: float


SITTERS = (
    Sitter((224, 182, 158), (70, 45, 30), 0.74, 0.30, 0.30, 0.25, 0.035),
    Sitter((150, 105, 80), (20, 16, 16), 0.66, 0.26, 0.36, 0.31, 0.06),
    Sitter((240, 205, 190), (190, 150, 90), 0.82, 0.34, 0.24, 0.21, 0.025),
)


def portrait(
    sitter: Sitter,
    height: int,
    width: int,
    *,
    size: float = 0.33,
    at: tuple[float, float] = (0.5, 0.5),
    turn: float = 0.0,
    light: float = 0.0,
) -> torch.Tensor:
    """A head before a plain wall.

    Args:
        sitter: Who.
        height: Of the picture.
        width: Of the picture.
        size: Half height of the head, in heights of the picture.
        at: Centre, in heights and widths of the picture.
        turn: Tilt of the head, radians.
        light: From -1, lit from the left, to 1, from the right.

    Returns:
        uint8 ``(3, height, width)``.
    """
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    y = (rows - at[0] * height) / (size * height)
    x = (columns - at[1] * width) / (size * height)
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    wall = np.array([120.0, 128.0, 140.0])
    image = np.broadcast_to(wall, (height, width, 3)).copy()

    def lay(mask: NDArray[np.float64], colour: NDArray[np.float64]) -> None:
        image[:] = image * (1 - mask[..., None]) + colour * mask[..., None]

    def oval(cx: float, cy: float, rx: float, ry: float, soft: float) -> NDArray[np.float64]:
        distance = np.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
        inside: NDArray[np.float64] = np.clip((1 - distance) / soft + 0.5, 0, 1)
        return inside

    skin, hair = np.array(sitter.skin), np.array(sitter.hair)
    lay(oval(0, 1.9, 1.5, 0.85, 0.05), np.array([60.0, 70.0, 110.0]))
    lay(oval(0, 1.1, 0.32, 0.6, 0.1), skin * 0.8)
    lay(oval(0, -0.2, sitter.width * 1.12, 0.98, 0.06), hair)
    round_shade = 1 - 0.35 * (x / sitter.width) ** 2 - 0.12 * y**2 + 0.2 * light * x
    face = skin * round_shade[..., None]
    lay(oval(0, 0.1, sitter.width, 0.92, 0.05), face)
    for side in (-1, 1):
        eye = side * sitter.eyes
        lay(oval(eye, -0.1, 0.2, 0.15, 0.9) * 0.45, skin * 0.55)
        lay(oval(eye, -0.08, 0.13, 0.065, 0.2), np.array([235.0, 232.0, 228.0]))
        lay(oval(eye, -0.08, 0.062, 0.062, 0.2), np.array([45.0, 35.0, 30.0]))
        lay(oval(eye, -0.145, 0.15, 0.025, 0.4), skin * 0.25)
        lay(oval(eye, -0.27, 0.18, sitter.brow, 0.5), hair * 0.8)
        lay(oval(side * 0.075, -0.08 + sitter.nose + 0.04, 0.05, 0.03, 0.6), skin * 0.4)
        lay(oval(side * 0.13, sitter.nose - 0.08, 0.05, 0.08, 1.0) * 0.5, skin * 0.6)
    lay(oval(0.09, sitter.nose / 2 - 0.1, 0.045, sitter.nose * 0.6, 1.0) * 0.4, skin * 0.65)
    lay(oval(-0.02, sitter.nose - 0.1, 0.09, 0.07, 0.9) * 0.6, (skin * 1.12).clip(0, 255))
    lips = np.array([165.0, 80.0, 80.0]) * (skin / skin.max()) ** 0.5
    lay(oval(0, 0.5, sitter.mouth, 0.085, 0.35), lips)
    lay(oval(0, 0.495, sitter.mouth * 0.95, 0.016, 0.5), lips * 0.4)
    lay(oval(0, 0.64, 0.15, 0.03, 1.0) * 0.4, skin * 0.6)
    return torch.from_numpy(image.clip(0, 255).round().astype(np.uint8)).permute(2, 0, 1)
