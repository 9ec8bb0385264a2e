"""A small engine that costs next to nothing: fixed random projections instead of networks."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypedDict

import torch

from streamer.extractor import ClipInput, PictureInput, SoundInput
from streamer.live.delivery import deliver
from streamer.live.keeping import StateKeeper
from streamer.live.state import StateFile
from streamer.live.stream import StreamRun
from streamer.pipeline.engine import Engine
from streamer.pipeline.progress import Counts
from streamer.pipeline.segmentation import StreamSegmentation
from tests.models.toy import DIMS, toy_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cloudevents.core.v1.event import CloudEvent

    from streamer.config.settings import Settings
    from streamer.connectors.sinks.sink import Sink
    from streamer.connectors.sources.source import Source
    from streamer.events.payload import EventData
    from streamer.pipeline.progress import Notice

PICTURE = PictureInput(height=12, width=16, interval=Fraction(2))
SOUND = SoundInput(rate=8000, window=8000, hop=8000)


@dataclass
class Projection:
    """Pools a piece and turns it by a fixed random matrix."""

    aspect: str
    dim: int
    kind: Literal["picture", "clip", "sound"]
    input: PictureInput | ClipInput | SoundInput
    network: str = ""
    matrix: torch.Tensor = field(default_factory=lambda: torch.empty(0))

    def __post_init__(self) -> None:
        self.network = f"toy-{self.aspect}"
        generator = torch.Generator().manual_seed(sum(self.aspect.encode()))
        self.matrix = torch.randn(16, self.dim, generator=generator)

    def embed(self, pieces: torch.Tensor) -> torch.Tensor:
        flat = pieces.float().reshape(len(pieces), -1)
        flat = flat[:, : flat.shape[1] // 16 * 16].reshape(len(pieces), 16, -1)
        scale = 255.0 if self.kind == "picture" else 0.05
        return (flat.abs().mean(2) / scale) @ self.matrix


def toy_engine() -> Engine:
    model = toy_model()
    model.digest = "ab" * 32
    extractors = tuple(
        Projection(aspect, dim, "picture", PICTURE)
        if aspect == "place"
        else Projection(aspect, dim, "sound", SOUND)
        for aspect, dim in DIMS.items()
    )
    return Engine(model, extractors, torch.device("cpu"))


class Run(StreamRun):
    """A stream with a sink, a watcher and, where it is kept, its state."""

    def __init__(
        self,
        stream: str,
        connect: Callable[[], Source],
        settings: Settings,
        engine: Engine,
        sinks: Sequence[Sink],
        watcher: Callable[[EventData | Notice], None] | None = None,
        *,
        keeping: StateKeeper | None = None,
        segmentation: StreamSegmentation | None = None,
        retry_unreachable: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        counts = Counts()
        number = settings.stream.epoch
        super().__init__(
            stream,
            connect,
            settings,
            segmentation
            or StreamSegmentation(
                stream,
                engine.model,
                threshold=settings.segment.threshold,
                lookahead=settings.segment.lookahead,
            ),
            extractors=engine.extractors,
            shot_network=engine.shot_network,
            resume=None if keeping is None else keeping.restore(number, counts),
            counts=counts,
            keeps_state=keeping is not None,
            retry_unreachable=retry_unreachable,
            clock=clock,
        )
        self._sinks, self._emit, self._store = sinks, settings.output.emit, keeping
        self._watchers = () if watcher is None else (watcher,)

    def run(self) -> None:
        deliver(
            self.events(),
            self._sinks,
            emit=self._emit,
            watchers=self._watchers,
            store=self._store,
        )


class Kept(TypedDict, total=False):
    """What a run with a state on disk is given."""

    keeping: StateKeeper
    segmentation: StreamSegmentation


def kept(folder: Path, stream: str, engine: Engine, settings: Settings) -> Kept:
    segmentation = StreamSegmentation(
        stream,
        engine.model,
        threshold=settings.segment.threshold,
        lookahead=settings.segment.lookahead,
    )
    keeping = StateKeeper(StateFile(folder, stream), "here", segmentation)
    return {"keeping": keeping, "segmentation": segmentation}


@dataclass
class Collected:
    """A sink that keeps what comes."""

    name: str = "memory"
    events: list[CloudEvent] = field(default_factory=list)

    def open(self) -> None: ...

    def add(self, event: CloudEvent) -> None:
        self.events.append(event)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    @property
    def ids(self) -> list[str]:
        return [str(event.get_id()) for event in self.events]


def kinds(events: Sequence[CloudEvent]) -> list[str]:
    return [str(event.get_type()).rsplit(".", 2)[-2] for event in events]
