"""Load the mixture and its extractors, once a process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import torch

from streamer.aspects.batching import BatchPolicy, SharedExtractors
from streamer.errors import CheckpointError, ConfigError
from streamer.models.checkpoint import load
from streamer.models.device import pick_device
from streamer.models.networks.registry import build
from streamer.models.networks.transnetv2 import ShotNetwork
from streamer.pipeline.embedder import PARALLEL_NETWORKS

if TYPE_CHECKING:
    from streamer.aspects.batching import OnBatch
    from streamer.config.sections import AspectsSection, RuntimeSection, ShotsSection
    from streamer.config.settings import Settings
    from streamer.extractor import Extractor
    from streamer.models.mixture import Moae
    from streamer.models.weights.store import WeightStore
    from streamer.shots.transnet import Network


@dataclass(frozen=True, slots=True)
class Engine:
    """Loaded networks, shared by every stream of a process.

    Attributes:
        model: Experts and mixer.
        extractors: One for each enabled aspect.
        device: Where they run.
        shot_network: Network that finds shots, where the detector is one.
    """

    model: Moae
    extractors: tuple[Extractor, ...]
    device: torch.device
    shot_network: Network | None = None

    @property
    def networks(self) -> dict[str, str]:
        """Aspect slot → honest name of the network that fills it."""
        return {extractor.aspect: extractor.network for extractor in self.extractors}


def choose_device(settings: RuntimeSection) -> torch.device:
    """Choose the device that the settings ask for; `pick_device` sets how torch computes.

    Raises:
        DeviceError: CUDA was asked for and is not there.
    """
    threads = settings.threads or default_threads()
    return torch.device(
        pick_device(settings.device, threads=threads, allow_tf32=settings.mixed_precision)
    )


def default_threads() -> int:
    """Return half the cores, 1 to 4: decoding needs a share, and spinning threads hurt."""
    return max(1, min(4, (os.cpu_count() or 1) // 2))


def load_extractors(
    settings: AspectsSection,
    store: WeightStore,
    device: torch.device,
    *,
    mixed_precision: bool = True,
) -> tuple[Extractor, ...]:
    """Build the extractor of every enabled aspect.

    Args:
        settings: Which aspects, and what fills them.
        store: Where the weights are.
        device: Where they run.
        mixed_precision: Whether a GPU may compute in half precision.

    Raises:
        ConfigError: A network is unknown or does not fit its slot.
        WeightsError: Its weights are missing or corrupt.
    """
    interval = Fraction(settings.key_frame_interval).limit_denominator(1000)
    return tuple(
        build(aspect, section.network, store, device, interval, mixed_precision=mixed_precision)
        for aspect, section in settings.slots.items()
        if section.enabled
    )


def load_shot_network(
    settings: ShotsSection, store: WeightStore, device: torch.device
) -> Network | None:
    """Load the network that finds shots, None where the settings want none.

    Raises:
        WeightsError: Its weights are missing or corrupt.
    """
    if settings.detector != "transnetv2":
        return None
    return ShotNetwork(store.load(settings.detector), device).predict


def share(
    engine: Engine, settings: RuntimeSection, on_batch: OnBatch | None = None
) -> SharedExtractors:
    """Share the networks of an engine among many streams, `PARALLEL_NETWORKS` at a time.

    Args:
        engine: Loaded networks.
        settings: How long pieces wait for others.
        on_batch: Called after every pass.
    """
    policy = BatchPolicy.for_device(engine.device, settings.batch_wait)
    return SharedExtractors(engine.extractors, policy, at_once=PARALLEL_NETWORKS, on_batch=on_batch)


def load_engine(settings: Settings, store: WeightStore) -> Engine:
    """Load the checkpoint and the networks it was trained on.

    Raises:
        ConfigError: No aspect that the checkpoint uses is enabled, or a network is unknown.
        CheckpointError: The checkpoint is unusable, or an aspect is filled by another network
            than the one it was trained on.
        DeviceError: The device is not there.
        WeightsError: Weights are missing or corrupt.
    """
    device = choose_device(settings.runtime)
    model = load(settings.segment.checkpoint, device)
    enabled = {name for name, section in settings.aspects.slots.items() if section.enabled}
    if not enabled & model.config.aspects.keys():
        wanted = ", ".join(model.config.aspects)
        raise ConfigError(f"aspects: enable at least one that the checkpoint uses: {wanted}")
    extractors = load_extractors(
        settings.aspects, store, device, mixed_precision=settings.runtime.mixed_precision
    )
    for extractor in extractors:
        expected = model.config.aspects.get(extractor.aspect)
        if expected is not None and (expected.network, expected.dim) != (
            extractor.network,
            extractor.dim,
        ):
            raise CheckpointError(
                f"the checkpoint was trained on {expected.network} ({expected.dim}-d) in slot "
                f"{extractor.aspect}, which is filled by {extractor.network} ({extractor.dim}-d); "
                f"set aspects.{extractor.aspect}.network or train a checkpoint for it"
            )
    network = load_shot_network(settings.shots, store, device)
    return Engine(model, extractors, device, network)
