"""Networks whose weights are public but not on a package index: added by hand, by checksum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Published:
    """What is known about weights that somebody has to fetch and add.

    Attributes:
        network: Name in the settings.
        slots: Aspects it can fill.
        dim: Length of its tokens.
        files: Names its files were published under, in the order in which they are added.
        source: Who publishes them.
        licence: As stated by the publisher, an SPDX identifier where there is one.
        trained_on: Data the network learned from.
        note: What should be known before it is used.
        needs: Pinned network whose tensors it takes over in part.
    """

    network: str
    slots: tuple[str, ...]
    dim: int
    files: tuple[str, ...]
    source: str
    licence: str
    trained_on: str
    note: str
    needs: str | None = None

    @property
    def hint(self) -> str:
        """The command that adds it."""
        given = " ".join(f"{file} --sha256 HEX" for file in self.files)
        return f"`streamer weights add {self.slots[0]} {given} --network {self.network}`"


PUBLISHED: Mapping[str, Published] = {
    entry.network: entry
    for entry in (
        Published(
            network="resnet50-places365",
            slots=("place",),
            dim=2048,
            files=("resnet50_places365.pth.tar",),
            source="CSAILVision/places365",
            licence="CC-BY",
            trained_on="Places365",
            note="the paper's network",
        ),
        Published(
            network="mtcnn-facenet",
            slots=("cast",),
            dim=512,
            files=("20180402-114759-vggface2.pt",),
            source="timesler/facenet-pytorch, release v2.2.9",
            licence="MIT (code); the data's terms are for research",
            trained_on="VGGFace2",
            note="faces only; the finder is that of mtcnn-dlib, which has to be pulled",
            needs="mtcnn-dlib",
        ),
        Published(
            network="lgss-audnet",
            slots=("stft",),
            dim=512,
            files=("a checkpoint of LGSS with sound",),
            source="AnyiRao/SceneSeg",
            licence="none stated for the weights",
            trained_on="scene boundaries of MovieScenes",
            note="a part of a whole checkpoint; every other tensor in it is left out",
        ),
        Published(
            network="deep-speaker",
            slots=("speaker",),
            dim=512,
            files=("ResCNN_triplet_training_checkpoint_265.h5",),
            source="philipperemy/deep-speaker",
            licence="MIT",
            trained_on="LibriSpeech",
            note="a port of Deep Speaker; its silence trimming is left out",
        ),
        Published(
            network="vggish",
            slots=("vggish",),
            dim=128,
            files=("vggish-10086976.pth",),
            source="harritaylor/torchvggish, release v0.1",
            licence="Apache-2.0",
            trained_on="YouTube-8M (preliminary)",
            note="the paper's network, before rotation and whitening",
        ),
        Published(
            network="vggish-pca",
            slots=("vggish",),
            dim=128,
            files=("vggish-10086976.pth", "vggish_pca_params-970ea276.pth"),
            source="harritaylor/torchvggish, release v0.1",
            licence="Apache-2.0",
            trained_on="YouTube-8M (preliminary)",
            note="with rotation and whitening; values are not rounded to 8 bits",
        ),
        Published(
            network="panns-cnn14",
            slots=("panns",),
            dim=2048,
            files=("Cnn14_mAP=0.431.pth",),
            source="qiuqiangkong/audioset_tagging_cnn, Zenodo 3987831",
            licence="CC-BY-4.0",
            trained_on="AudioSet",
            note="log-mel picture only",
        ),
        Published(
            network="panns-wavegram-logmel-cnn14",
            slots=("panns",),
            dim=2048,
            files=("Wavegram_Logmel_Cnn14_mAP=0.439.pth",),
            source="qiuqiangkong/audioset_tagging_cnn, Zenodo 3987831",
            licence="CC-BY-4.0",
            trained_on="AudioSet",
            note="the paper's network",
        ),
        Published(
            network="openl3-music-mel256-512",
            slots=("openl3",),
            dim=512,
            files=("torchopenl3_mel256_music_512.pth.tar",),
            source="torchopenl3/torchopenl3-models",
            licence="Apache-2.0",
            trained_on="music videos of AudioSet",
            note="a torch port of the paper's network",
        ),
    )
}


def published(network: str) -> Published:
    """Looks a network up.

    Args:
        network: Name in the settings.

    Returns:
        What is known about its weights.

    Raises:
        ConfigError: It is not one whose weights are added; the message lists those there are.
    """
    try:
        return PUBLISHED[network]
    except KeyError:
        known = ", ".join(sorted(PUBLISHED))
        raise ConfigError(
            f"weights of {network} cannot be added by hand; those of {known} can"
        ) from None


def candidate(slot: str, network: str | None) -> Published:
    """The network that a file is meant for.

    Args:
        slot: Aspect it is to fill.
        network: Its name when the slot has several.

    Returns:
        What is known about its weights.

    Raises:
        ConfigError: There is none, or not just one, or it cannot fill the slot.
    """
    fitting = [entry.network for entry in PUBLISHED.values() if slot in entry.slots]
    if not fitting:
        slots = ", ".join(dict.fromkeys(name for e in PUBLISHED.values() for name in e.slots))
        raise ConfigError(f"nothing can be added for {slot}; the slots are {slots}")
    if network is None:
        if len(fitting) > 1:
            raise ConfigError(f"{slot} needs --network: {' or '.join(fitting)}")
        network = fitting[0]
    if network not in fitting:
        raise ConfigError(f"{slot} can be filled by {' or '.join(fitting)}, not by {network}")
    return PUBLISHED[network]
