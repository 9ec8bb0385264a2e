"""Weights that somebody fetched: checksum, names, shapes, and nothing run."""

from __future__ import annotations

import codecs
import hashlib
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_safetensors
from typer.testing import CliRunner

from streamer.cli.weights import weights as app
from streamer.errors import ConfigError, WeightsCorrupt, WeightsMissing, WeightsUnavailable
from streamer.models.networks.registry import build
from streamer.models.weights.manifest import PUBLISHED
from streamer.models.weights.published import adopt, read_state
from streamer.models.weights.store import WeightStore
from tests.limits import memory_limit
from tests.models.networks.published import as_read, released, saved, state

NETWORK = "lgss-audnet"
PREFIX = "module.bnet_aud.bnet.audnet."


@pytest.fixture
def store(tmp_path: Path) -> WeightStore:
    return WeightStore(tmp_path / "home", offline=True)


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def add(store: WeightStore, network: str, contents: list[bytes], folder: Path) -> Path:
    files = [folder / f"{index}.bin" for index in range(len(contents))]
    for file, content in zip(files, contents, strict=True):
        file.write_bytes(content)
    return store.add(network, files, [digest(content) for content in contents])


@pytest.mark.slow
@pytest.mark.parametrize("network", ["lgss-audnet", "deep-speaker"])
def test_what_was_added_is_loaded_and_checked(
    store: WeightStore, tmp_path: Path, network: str
) -> None:
    assert not store.present(network)
    path = add(store, network, released(network), tmp_path)
    assert (store.path(network), store.present(network)) == (path, True)
    slot = PUBLISHED[network].slots[0]
    extractor = build(slot, network, store, torch.device("cpu"), Fraction(2))
    assert extractor.network == network
    assert store.pull(network) == path
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsCorrupt, match=r"damaged: tensor .*streamer weights add"):
        store.verify(network)


@pytest.mark.slow
def test_parts_of_another_network_are_taken_over(
    store: WeightStore, tmp_path: Path, weight_store: WeightStore
) -> None:
    contents = released("mtcnn-facenet")
    with pytest.raises(WeightsMissing, match="mtcnn-dlib"):
        add(store, "mtcnn-facenet", contents, tmp_path)
    base = weight_store.path("mtcnn-dlib")
    store.path("mtcnn-dlib").parent.mkdir(parents=True)
    store.path("mtcnn-dlib").symlink_to(base)
    add(store, "mtcnn-facenet", contents, tmp_path)
    finder = [name for name in store.load("mtcnn-facenet") if name.startswith("finder.")]
    assert len(finder) == sum(
        name.startswith("finder.") for name in weight_store.load("mtcnn-dlib")
    )


def test_safetensors_give_the_same_file(store: WeightStore, tmp_path: Path) -> None:
    first = add(store, NETWORK, [save_safetensors(state(NETWORK))], tmp_path)
    assert add(store, NETWORK, released(NETWORK), tmp_path) == first


def test_two_files_and_only_two(store: WeightStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"2 file.*vggish_pca_params"):
        add(store, "vggish-pca", [b"one"], tmp_path)
    with pytest.raises(ConfigError, match="1 file"):
        store.add(NETWORK, [tmp_path / "a", tmp_path / "b"], ["0" * 64, "0" * 64])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_arrays_are_read(tmp_path: Path, kind: type[np.floating]) -> None:
    means = np.linspace(-1, 1, 128, dtype=kind)
    found = read_state(tmp_path / "pca.pth", saved({"pca_means": means, "about": "text"}))
    assert isinstance(found["pca_means"], np.ndarray)
    np.testing.assert_array_equal(found["pca_means"], means)


def without(tensors: dict[str, torch.Tensor]) -> None:
    for name in ("conv3.bias", "bn4.weight"):
        del tensors[PREFIX + name]


def misshapen(tensors: dict[str, torch.Tensor]) -> None:
    tensors[PREFIX + "conv2.weight"] = torch.zeros(192, 64, 3, 2)


def extra(tensors: dict[str, torch.Tensor]) -> None:
    tensors[PREFIX + "conv7.weight"] = torch.zeros(1)


def halved(tensors: dict[str, torch.Tensor]) -> None:
    tensors[PREFIX + "fc.bias"] = tensors[PREFIX + "fc.bias"].half()


def spread(tensors: dict[str, torch.Tensor]) -> None:
    tensors[PREFIX + "conv1.weight"] = torch.zeros(1).expand(64, 1, 3, 3)


def vast(tensors: dict[str, torch.Tensor]) -> None:
    tensors[PREFIX + "conv2.weight"] = torch.zeros(1).expand(1 << 20, 1 << 10)


def flipped(tensors: dict[str, torch.Tensor]) -> None:
    tensors[PREFIX + "conv2.weight"] = torch._neg_view(tensors[PREFIX + "conv2.weight"])


def sparse(tensors: dict[str, torch.Tensor]) -> None:
    tensors[PREFIX + "fc.bias"] = tensors[PREFIX + "fc.bias"].to_sparse()


def broken(tensors: dict[str, torch.Tensor]) -> None:
    tensors[PREFIX + "bn1.running_var"][3] = torch.nan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (spread, r"conv1\.weight is not stored in full"),
        (vast, r"conv2\.weight is \(1048576, 1024\), expected \(192, 64, 3, 3\)"),
        (flipped, r"conv2\.weight is not a plain tensor"),
        (sparse, r"fc\.bias is not a plain tensor"),
        (without, r"tensor conv3\.bias is missing"),
        (misshapen, r"conv2\.weight is \(192, 64, 3, 2\), expected \(192, 64, 3, 3\)"),
        (extra, r"tensor conv7\.weight is unknown"),
        (halved, r"fc\.bias is not a float32 tensor"),
        (broken, r"bn1\.running_var is not finite"),
    ],
)
def test_the_first_wrong_tensor_is_named(
    store: WeightStore,
    tmp_path: Path,
    change: Callable[[dict[str, torch.Tensor]], None],
    said: str,
) -> None:
    tensors = {name: tensor.clone() for name, tensor in state(NETWORK).items()}
    change(tensors)
    with memory_limit(512), pytest.raises(WeightsCorrupt, match=said):
        add(store, NETWORK, [saved(tensors)], tmp_path)
    assert not store.present(NETWORK)


class View:
    """Unpickles into an array whose values all lie at one place."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        nothing = (0,) * len(self.shape)
        return np.ndarray, (self.shape, np.dtype(np.float32), bytes(4), 0, nothing)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("pca_eigen_vectors", (128, 128)),
        ("pca_eigen_vectors", (1 << 20, 1 << 10)),
        ("pca_means", (1 << 30,)),
    ],
)
def test_arrays_that_are_not_stored_in_full_are_refused(name: str, shape: tuple[int, ...]) -> None:
    whole = as_read("vggish-pca")
    hostile = saved({name: View(*shape)})
    with memory_limit(512), pytest.raises(WeightsCorrupt, match=f"{name} is "):
        adopt("vggish-pca", [whole, read_state(Path("pca.pth"), hostile)])


def test_what_is_not_used_is_not_looked_at() -> None:
    whole = as_read("mtcnn-facenet")
    tensors = adopt("mtcnn-facenet", [whole])
    with memory_limit(64):
        large = {"logits.weight": torch.zeros(1).expand(3 << 30), "logits.bias": torch.zeros(1)}
        again = adopt("mtcnn-facenet", [{**whole, **large}])
    assert again.keys() == tensors.keys()


class Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (open, ("/dev/null",))


class Encoded:
    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (codecs.encode, ("text", "bz2"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a",
        b"\x00" * 8 + b"{",
        b"\x89HDF\r\n\x1a\n" + b"\x00" * 64,
        pickle.dumps({"conv1.weight": Hostile()}),
        saved({"conv1.weight": Hostile()}),
        saved({"conv1.weight": Encoded()}),
        saved({"conv1.weight": np.array([Hostile()], object)}),
        saved([1, 2, 3]),
        saved({}),
        saved({7: torch.zeros(3)}),
    ],
)
def test_what_is_no_state_dict_is_refused(
    store: WeightStore, tmp_path: Path, content: bytes
) -> None:
    with pytest.raises(WeightsCorrupt):
        add(store, NETWORK, [content], tmp_path)
    assert not store.present(NETWORK)


def test_another_file_is_refused_before_it_is_read(store: WeightStore, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    file.write_bytes(released(NETWORK)[0])
    with pytest.raises(
        WeightsCorrupt, match=r"weights\.pth has sha256 [0-9a-f]{64}, expected is 0"
    ):
        store.add(NETWORK, [file], ["0" * 64])
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        store.add(NETWORK, [file], ["0x12"])
    with pytest.raises(WeightsMissing, match="cannot be read"):
        store.add(NETWORK, [tmp_path / "not there"], ["0" * 64])


def test_a_damaged_record_asks_for_the_weights_again(store: WeightStore, tmp_path: Path) -> None:
    path = add(store, NETWORK, released(NETWORK), tmp_path)
    record = path.with_name(f"{NETWORK}.added.json")
    for text in ("", "[]", "{}", '{"sha256": 3}', '{"sha256": "../../x"}'):
        record.write_text(text)
        with pytest.raises(WeightsCorrupt, match="add the weights again"):
            store.load(NETWORK)


def test_a_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file, not a folder")
    with pytest.raises(WeightsUnavailable, match="cannot write"):
        add(WeightStore(tmp_path / "home"), NETWORK, released(NETWORK), tmp_path)


def test_the_command_adds_lists_and_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    runner = CliRunner()
    with pytest.raises(WeightsMissing, match=r"AnyiRao/SceneSeg.*streamer weights add stft"):
        runner.invoke(app, ["pull", NETWORK], catch_exceptions=False)
    file = tmp_path / "lgss.pth"
    file.write_bytes(released(NETWORK)[0])

    def line(network: str) -> str:
        listed = runner.invoke(app, ["list"], catch_exceptions=False).stdout
        return next(line for line in listed.splitlines() if f" {network} " in line)

    assert " add " in line(NETWORK)
    assert "action" in line("grid-flow")
    given = ["add", "stft", str(file), "--sha256", digest(file.read_bytes()).upper()]
    result = runner.invoke(app, given, catch_exceptions=False)
    assert result.exit_code == 0
    assert "aspects.stft.network = lgss-audnet" in result.stderr
    assert " yes " in line(NETWORK)
    result = runner.invoke(app, ["verify", NETWORK], catch_exceptions=False)
    assert result.stderr == f"{NETWORK}: ok\n"
    assert runner.invoke(app, ["add", "stft", str(file)]).exit_code == 2
    for slot, more, said in (
        ("panns", [], "needs --network: panns-cnn14 or panns-wavegram"),
        ("musicnn", [], "nothing can be added for musicnn"),
        ("place", ["--network", "vggish"], "place can be filled by resnet50-places365, not"),
    ):
        with pytest.raises(ConfigError, match=said):
            runner.invoke(
                app, ["add", slot, str(file), "--sha256", "0" * 64, *more], catch_exceptions=False
            )
