"""Pictures of a film at given times, for the figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from streamer.errors import SourceDamaged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_WIDTH = 160


def film_of(folder: Path, movie: str) -> Path | None:
    """The film of a movie: the file of that name with any ending, None where there is none."""
    if not folder.is_dir():
        return None
    found = sorted(path for path in folder.iterdir() if path.stem == movie and path.is_file())
    films = [path for path in found if path.suffix.lower() not in (".json", ".csv", ".safetensors")]
    return films[0] if films else None


def frames_at(film: Path, seconds: Sequence[float]) -> list[NDArray[np.uint8]]:
    """Reads the first picture at or after each time.

    Args:
        film: A media file with pictures.
        seconds: Media time, PTS × time base.

    Returns:
        RGB pictures 160 wide, one a time; the last one there is where the film ends before.

    Shape:
        Each ``(height, 160, 3)``

    Raises:
        SourceDamaged: The film cannot be opened or has no picture.
    """
    pictures: list[NDArray[np.uint8]] = []
    try:
        with av.open(film) as container:
            stream = container.streams.video[0]
            base = stream.time_base
            if base is None:
                raise SourceDamaged(f"{film} has no time base")
            for second in seconds:
                container.seek(max(0, int(second / base)), stream=stream)
                shown = None
                for frame in container.decode(stream):
                    shown = frame
                    if frame.pts is not None and float(frame.pts * base) >= second:
                        break
                if shown is None:
                    raise SourceDamaged(f"{film} has no picture at {second:.3f} s")
                height = max(1, round(shown.height * _WIDTH / shown.width))
                scaled = shown.reformat(width=_WIDTH, height=height, format="rgb24")
                pictures.append(scaled.to_ndarray().astype(np.uint8))
    except (av.FFmpegError, IndexError, OSError) as error:
        raise SourceDamaged(f"{film} cannot be shown: {error}") from error
    return pictures
