"""Turn a whole film into shots with tokens, for a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from streamer.decode.connection import Connection, Deadlines
from streamer.decode.decoder import Decoder
from streamer.decode.streams import DecodeOptions
from streamer.errors import SourceEmpty
from streamer.models.dataset.annotations import label_shots
from streamer.models.dataset.movie import AspectTokens, Movie
from streamer.pipeline.embedder import ShotEmbedder
from streamer.shots.base import ShotOptions
from streamer.timeline import Timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from fractions import Fraction

    from streamer.config.settings import Settings
    from streamer.connectors.sources.source import Source
    from streamer.extractor import Extractor
    from streamer.shots.transnet import Network
    from streamer.timeline import EmbeddedShot, StreamInfo

BATCH = 16
"""Pieces of one aspect embedded together."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """One film.

    Attributes:
        info: What the demuxer reports.
        start: First instant of the first shot.
        shots: In order, at least one.
    """

    info: StreamInfo
    start: Timestamp
    shots: tuple[EmbeddedShot, ...]


def extract_shots(
    source: Source,
    settings: Settings,
    extractors: Sequence[Extractor],
    progress: Callable[[Fraction, Fraction | None], None],
    shot_network: Network | None = None,
) -> Extracted:
    """Split and embed a film exactly as ``streamer tail`` does.

    Args:
        source: Not opened yet.
        settings: Stages'.
        extractors: One per aspect.
        progress: Called with the seconds read and the duration, for every frame.
        shot_network: Network that finds shots, where the detector is one.

    Raises:
        SourceError: The film is unusable or damaged; half a film is no training data.
    """
    shots: list[EmbeddedShot] = []
    decoder = Decoder(source, settings.decode.to(DecodeOptions))
    with Connection(decoder, source.name, settings.decode.queue_pictures, Deadlines()) as items:
        embedder = ShotEmbedder(
            items.info,
            extractors,
            settings.shots.to(ShotOptions),
            key_frame_interval=settings.aspects.key_frame_interval,
            key_frame_offset=settings.aspects.key_frame_offset,
            max_interleave=settings.decode.max_interleave,
            batch=BATCH,
            shot_network=shot_network,
        )
        for item in items:
            shots += embedder.push(item)
            if embedder.start is not None:
                progress(item.start.seconds - embedder.start.seconds, items.info.duration)
        shots += embedder.finish()
        if embedder.start is None or not shots:
            raise SourceEmpty(f"{source.name}: no video or audio could be decoded")
        return Extracted(items.info, embedder.start, tuple(shots))


def to_movie(
    name: str,
    film: Extracted,
    boundaries: Sequence[Fraction],
    extractors: Sequence[Extractor],
) -> tuple[Movie, int]:
    """Lay annotated boundaries onto the shots of a film.

    Args:
        name: The movie's.
        film: Its shots.
        boundaries: Where scenes begin, seconds from the first frame.
        extractors: Those that made the tokens.

    Returns:
        The movie, and how many boundaries had no cut within a second.
    """
    origin = film.start.seconds
    ends = [shot.shot.end.seconds - origin for shot in film.shots]
    labels = label_shots(ends, boundaries)
    movie = Movie(
        name=name,
        start=np.array([float(shot.shot.start.seconds - origin) for shot in film.shots]),
        end=np.array([float(end) for end in ends]),
        boundary=np.array(labels.boundary, dtype=np.bool_),
        aspects={
            extractor.aspect: AspectTokens.from_shots(
                [shot.tokens.get(extractor.aspect) for shot in film.shots], extractor.dim
            )
            for extractor in extractors
        },
        extractors={extractor.aspect: extractor.network for extractor in extractors},
    )
    return movie, labels.lost
