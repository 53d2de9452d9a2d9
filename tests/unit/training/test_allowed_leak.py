"""A column that tells frauds by itself, and that somebody vouches for: let in, written down, and known ever after."""

import json

import pytest

from tests.unit.training.second_table import payments


@pytest.fixture(scope="module")
def leaking_csv(tmp_path_factory):
    frame = payments(900, 90).drop(columns=["booked_at", "merchant_risk", "stands_for", "currency"])
    path = tmp_path_factory.mktemp("leaking") / "payments.csv"
    frame.assign(confirmed=frame["is_fraud"] * 2.0 + 1.0).to_csv(path, index=False)
    return path


COLUMNS = ("--target", "is_fraud", "--amount", "value")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, run_cli, leaking_csv):
    out = tmp_path_factory.mktemp("models") / "leaking"
    asked = ("--allow-leak", "confirmed", "--rotations", 1, "--name", "leaking")
    assert run_cli("train", leaking_csv, "--out", out, *COLUMNS, *asked) == 0
    return out


def test_leak_is_refused_unless_it_is_allowed(leaking_csv, tmp_path, run_cli, capsys):
    assert run_cli("train", leaking_csv, "--out", tmp_path / "bundle", *COLUMNS) == 2

    assert "--allow-leak confirmed lets it in" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "bundle").exists()


def test_allowed_leak_is_in_the_manifest_and_at_the_head_of_the_limits(bundle):
    assert json.loads((bundle / "manifest.json").read_text())["training"]["data"]["allowed_leaks"] == ["confirmed"]
    limits = (bundle / "MODEL_CARD.md").read_text().partition("## Limits\n\n")[2]
    assert limits.startswith("- **`confirmed`: tells frauds from the rest by itself**")


def test_commands_on_the_bundle_need_not_be_told_again(bundle, leaking_csv, tmp_path, run_cli):
    manifest = bundle / "manifest.json"

    assert run_cli("evaluate", bundle, leaking_csv, "--out", tmp_path / "report") == 0
    assert run_cli("thresholds", bundle, leaking_csv, "--out", tmp_path / "retuned") == 0
    assert run_cli("explain", bundle, leaking_csv, "--target", "is_fraud") == 0
    assert run_cli("repeat", manifest, leaking_csv, "--out", tmp_path / "again", *COLUMNS) == 0
    assert (tmp_path / "again" / "manifest.json").read_bytes() == manifest.read_bytes()
