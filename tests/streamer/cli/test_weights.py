from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from streamer.cli.weights import weights as app
from streamer.config.sections import AspectsSection
from streamer.errors import ConfigError, WeightsCorrupt, WeightsMissing, WeightsUnavailable
from streamer.models.weights.manifest import DETECTORS, MANIFEST, PUBLISHED
from streamer.models.weights.store import WeightStore

runner = CliRunner()


def test_list_names_slot_network_licence_and_presence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")
    result = runner.invoke(app, ["list"], catch_exceptions=False)
    assert result.exit_code == 0
    for entry in MANIFEST.values():
        line = next(line for line in result.stdout.splitlines() if f" {entry.network} " in line)
        assert entry.slots[0] in line
        assert entry.licence in line
        assert " no " in line


def test_long_list_says_what_a_network_learned_from_and_where_its_licence_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER_HOME", str(tmp_path))
    shown = runner.invoke(app, ["list", "--long"], catch_exceptions=False).stdout
    cells = [[cell.strip() for cell in line.split("│")] for line in shown.splitlines()]
    lines = {row[2]: row for row in cells if len(row) > 2}
    for entry in (*MANIFEST.values(), *DETECTORS.values(), *PUBLISHED.values()):
        stated = entry.licence_note or entry.source
        assert lines[entry.network][8:11] == [entry.trained_on, stated, entry.note]
    assert "trained on" not in runner.invoke(app, ["list"], catch_exceptions=False).stdout


def test_list_is_whole_where_nobody_has_a_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER_HOME", str(tmp_path))
    result = runner.invoke(app, ["list"], catch_exceptions=False)
    lines = [line for line in result.stdout.splitlines() if "│" in line]
    assert all(f" {entry.network} " in result.stdout for entry in MANIFEST.values())
    assert all(line.split("│")[1].strip() for line in lines), "a cell was folded"


@pytest.mark.parametrize("columns", [20, 40, 60, 80])
def test_numbers_of_the_list_are_whole_however_narrow_the_terminal(
    columns: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMER_HOME", str(tmp_path))
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    result = runner.invoke(app, ["list"], catch_exceptions=False)
    lines = [line for line in result.stdout.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in line.split("│")] for line in lines]
    shown = [(row[4], row[6]) for row in cells if row[4]]
    whole = {(str(e.dim), f"{e.size / 1e6:.1f}") for e in (*MANIFEST.values(), *DETECTORS.values())}
    assert whole <= set(shown)
    assert max(map(len, lines)) <= max(columns, 70)


def test_verify_says_ok_for_what_was_asked(weight_store: WeightStore) -> None:
    result = runner.invoke(app, ["verify", "yamnet"], catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (0, "yamnet: ok\n")


def test_verify_and_pull_raise_the_trees_errors(
    weight_store: WeightStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = weight_store.path("ge2e").read_bytes()
    monkeypatch.setenv("STREAMER_HOME", str(tmp_path))
    with pytest.raises(WeightsMissing):
        runner.invoke(app, ["verify", "ge2e"], catch_exceptions=False)
    with pytest.raises(WeightsUnavailable, match="offline"):
        runner.invoke(app, ["pull", "ge2e", "--offline"], catch_exceptions=False)
    path = WeightStore().path("ge2e")
    path.parent.mkdir(parents=True)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(WeightsCorrupt, match=r"tensor .* has a wrong checksum"):
        runner.invoke(app, ["verify", "ge2e"], catch_exceptions=False)


DEFAULT = [section.network for section in AspectsSection().slots.values() if section.enabled]


def named(stderr: str) -> list[str]:
    return [line.partition(":")[0] for line in stderr.splitlines()]


def test_pull_of_what_is_there_prints_where(weight_store: WeightStore) -> None:
    weight_store.pull("transnetv2")
    result = runner.invoke(app, ["pull", "--all", "--offline"], catch_exceptions=False)
    assert result.exit_code == 0
    for network in (*MANIFEST, *DETECTORS):
        assert str(weight_store.path(network)) in result.stderr


def test_pull_takes_what_the_settings_use(weight_store: WeightStore, tmp_path: Path) -> None:
    result = runner.invoke(app, ["pull", "--offline"], catch_exceptions=False)
    assert named(result.stderr) == DEFAULT
    assert "mtcnn-dlib" not in DEFAULT
    config = tmp_path / "c.toml"
    config.write_text(
        "[aspects]\nstft.enabled = true\naction.enabled = true\nplace.enabled = false\n"
        'extra.loudness.network = "somewhere.loudness:NETWORK"\n'
    )
    config.write_text(config.read_text() + '[shots]\ndetector = "transnetv2"\n')
    weight_store.pull("transnetv2")
    result = runner.invoke(app, ["verify", "--config", str(config)], catch_exceptions=False)
    wanted = {*DEFAULT, "ina-smn", "transnetv2"} - {"efficientnet-lite0"}
    assert sorted(named(result.stderr)) == sorted(wanted)


def test_all_and_names_exclude_each_other() -> None:
    assert runner.invoke(app, ["pull", "yamnet", "--all"]).exit_code == 2


def test_a_network_without_weights_says_so() -> None:
    with pytest.raises(ConfigError, match="grid-flow has no weights"):
        runner.invoke(app, ["pull", "grid-flow"], catch_exceptions=False)
