"""What is alike to people is closer than what is not, on clips and photographs.

Voices are eSpeak NG's (``clips/README.md``); the photographs come with scikit-learn (CC BY) and
matplotlib (public domain).
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import matplotlib.cbook
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_image
from torch.nn.functional import normalize

from streamer.extractor import PictureInput, SoundInput
from streamer.models.networks.registry import architecture, build
from streamer.models.weights.manifest import MANIFEST
from streamer.models.weights.store import WeightStore

CLIPS = Path(__file__).with_name("clips")
VOICES = ("croak", "f2", "klatt4", "m7")
SOUND_NETWORKS = [n for n in MANIFEST if isinstance(architecture(n).input, SoundInput)]
# To Musicnn, half the level changes a voice as much as another voice does: it is held to three
# kinds of sound in test_extractors.
HEARS_VOICES = [n for n in SOUND_NETWORKS if n != "musicnn-mtt"]
CPU = torch.device("cpu")


def windows(path: Path, wanted: SoundInput) -> torch.Tensor:
    """Every half-overlapping window of a clip; a short clip is filled up with silence."""
    resampler = av.AudioResampler("flt", "mono", wanted.rate)
    blocks = []
    with av.open(str(path)) as container:
        for frame in [*container.decode(audio=0), None]:
            blocks += [made.to_ndarray()[0] for made in resampler.resample(frame)]
    samples = torch.from_numpy(np.concatenate(blocks))
    short = wanted.window - len(samples)
    if short > 0:
        samples = torch.nn.functional.pad(samples, (0, short))
    return samples.unfold(0, wanted.window, wanted.window // 2)


def embedded(network: str, store: WeightStore, gain: float = 1.0) -> torch.Tensor:
    """One unit vector for each voice and sentence, sentences of a voice side by side."""
    extractor = build(architecture(network).slots[0], network, store, CPU, Fraction(2))
    assert isinstance(extractor.input, SoundInput)
    clips = [CLIPS / f"{voice}-{sentence}.opus" for voice in VOICES for sentence in (1, 2)]
    tokens = [extractor.embed(windows(clip, extractor.input) * gain).mean(dim=0) for clip in clips]
    return normalize(torch.stack(tokens), dim=1)


def test_a_voice_is_closer_to_itself_than_to_any_other(weight_store: WeightStore) -> None:
    tokens = embedded("ge2e", weight_store)
    likeness = tokens @ tokens.T
    who = torch.arange(len(tokens)) // 2
    same = (who[:, None] == who) & ~torch.eye(len(tokens), dtype=torch.bool)
    assert likeness[same].min() > likeness[who[:, None] != who].max() + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("network", HEARS_VOICES)
def test_a_clip_at_two_levels_is_closer_than_two_clips(
    network: str, weight_store: WeightStore
) -> None:
    loud, quiet = (embedded(network, weight_store, gain) for gain in (1.0, 0.5))
    likeness = loud @ quiet.T
    others = torch.maximum(likeness, loud @ loud.T).fill_diagonal_(-1)
    assert (likeness.diagonal() > others.amax(dim=1)).all()


def photographs() -> list[Image.Image]:
    portrait = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    shipped = [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    return [*shipped, Image.open(str(portrait)).convert("RGB")]


def views(photograph: Image.Image, side: int) -> list[torch.Tensor]:
    """The same place seen from elsewhere, in other light, mirrored."""
    width, height = photograph.size
    edge = int(min(width, height) * 0.8)
    made = []
    for across, down, light in ((0.35, 0.2, 1.0), (0.6, 0.9, 0.6), (0.5, 0.5, 1.3)):
        left, top = int((width - edge) * across), int((height - edge) * down)
        part = photograph.crop((left, top, left + edge, top + edge)).resize((side, side))
        pixels = np.asarray(part, np.float32) * light
        made.append(torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)).permute(2, 0, 1))
    made[2] = made[2].flip(2)
    return made


def test_one_place_is_closer_than_two(weight_store: WeightStore) -> None:
    extractor = build("place", "efficientnet-lite0", weight_store, CPU, Fraction(2))
    assert isinstance(extractor.input, PictureInput)
    seen = [view for photo in photographs() for view in views(photo, extractor.input.height)]
    tokens = extractor.embed(torch.stack(seen))
    # The parts of a token differ in scale, as docs/aspects.md says.
    tokens = (tokens - tokens.mean(dim=0)) / tokens.std(dim=0).clamp_min(1e-6)
    tokens = normalize(tokens, dim=1)
    likeness = tokens @ tokens.T
    place = torch.arange(len(tokens)) // 3
    same = (place[:, None] == place) & ~torch.eye(len(tokens), dtype=torch.bool)
    assert likeness[same].min() > likeness[place[:, None] != place].max()
