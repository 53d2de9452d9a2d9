import json
from dataclasses import replace

import pytest

from core.bundle import MANIFEST, load_bundle
from tests.unit.training.conftest import OPTIONS
from training.data import read_data
from training.errors import ExportError, OptionError
from training.pipeline import train_bundle
from training.repeat import check_same, options_of, read_manifest
from training.run import SearchBudget
from training.schema import CREDITCARD
from training.train import Parameters

FEW = Parameters(max_rounds=12, min_rounds=6, patience=6, n_seeds=2, increasing=("V4",))


@pytest.fixture(scope="module")
def data(data_file):
    return read_data(data_file, CREDITCARD)


@pytest.fixture(scope="module")
def searched(tmp_path_factory, data):
    """A bundle made with every option that fitting has, and a search that time ended after its first trial."""
    out = tmp_path_factory.mktemp("models") / "searched"
    asked = replace(OPTIONS, parameters=FEW, search=SearchBudget(minutes=1e-6))
    train_bundle(data, CREDITCARD, asked, out)
    return out


def test_repeat_gives_the_same_bytes(searched, data, tmp_path):
    manifest = read_manifest(searched / MANIFEST)

    again = train_bundle(data, CREDITCARD, options_of(manifest, data), tmp_path / "again")

    check_same(manifest, again)
    names = sorted(path.name for path in searched.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    assert all((searched / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_options_of_name_what_was_asked_and_the_trials_that_were_made(searched, data):
    asked = options_of(read_manifest(searched / MANIFEST), data)

    assert asked == replace(OPTIONS, parameters=FEW, search=SearchBudget(trials=1))


def test_manifest_holds_the_search(searched):
    training = load_bundle(searched).manifest.training

    assert training["search"]["n_trials"] == 1
    assert training["search"]["trials"][0]["value"] > 0.1
    assert training["booster"]["n_seeds"] == 2


def test_options_of_other_data_are_refused(searched, data):
    manifest = read_manifest(searched / MANIFEST)

    with pytest.raises(OptionError, match="other data"):
        options_of(manifest, replace(data, sha256="0" * 64))


def test_options_of_a_manifest_that_names_none_are_refused(searched, data):
    manifest = read_manifest(searched / MANIFEST)
    older = manifest.model_copy(update={"training": {"data": manifest.training["data"]}})

    with pytest.raises(OptionError, match="does not say which options"):
        options_of(older, data)


@pytest.mark.parametrize("text", ["", "{}", json.dumps({"schema_version": 1})])
def test_read_manifest_other_files_are_refused(tmp_path, text):
    path = tmp_path / "manifest.json"
    path.write_text(text)

    with pytest.raises(OptionError, match="is not the manifest of a bundle"):
        read_manifest(path)


def test_read_manifest_absent_file_is_refused(tmp_path):
    with pytest.raises(OptionError, match="No such file"):
        read_manifest(tmp_path / "absent.json")


def test_check_same_names_the_files_and_libraries_that_differ(searched):
    bundle = load_bundle(searched)
    files = {**bundle.manifest.files, "model.onnx": bundle.manifest.files["golden.json"]}
    other = bundle.manifest.model_copy(update={"files": files, "libraries": {"numpy": "0"}})

    with pytest.raises(ExportError, match=r"differs in model\.onnx; so do the versions of .*numpy"):
        check_same(other, bundle)


def test_commands_train_with_every_option_of_fitting_and_repeat_it(run_cli, data_file, tmp_path, capsys):
    fitting = ("--seeds", 2, "--increasing", "V4", "--decreasing", "V14", "--decreasing", "V12", "--search-trials", 1)
    assert run_cli("train", data_file, "--out", tmp_path / "first", "--rotations", 1, *fitting) == 0

    assert run_cli("repeat", tmp_path / "first" / MANIFEST, data_file, "--out", tmp_path / "again") == 0

    assert "The same bytes as then" in capsys.readouterr().out
    asked = load_bundle(tmp_path / "again").manifest.training["options"]
    assert asked["parameters"]["decreasing"] == ["V14", "V12"]
    assert asked["search"] == {"trials": 1, "minutes": None}


def test_repeat_command_with_other_data_has_exit_code_2(run_cli, searched, tmp_path, capsys):
    other = tmp_path / "other.csv"
    assert run_cli("simulate", "--rows", 2000, "--fraud-rate", 0.05, "--seed", 2, "--out", other) == 0

    assert run_cli("repeat", searched / MANIFEST, other, "--out", tmp_path / "again") == 2

    assert "made of other data" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()
