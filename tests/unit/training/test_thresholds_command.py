"""`python -m training thresholds`: a new rule in a new bundle, and nothing else changed."""

import json
import shutil

import numpy as np
import pytest

from core.bundle import load_bundle
from core.decision import ExpectedLoss
from training.data import read_data
from training.known_rows import fraud_scores, own_split
from training.retune import next_version
from training.schema import CREDITCARD


@pytest.fixture
def copied(tmp_path, bundle_dir):
    return shutil.copytree(bundle_dir, tmp_path / "bundle")


def test_same_costs_choose_the_same_rule_on_the_same_rows(copied, bundle_dir, data_file, run_cli):
    assert run_cli("thresholds", copied, data_file) == 0

    old, new = load_bundle(bundle_dir), load_bundle(copied)
    assert new.manifest.thresholds == old.manifest.thresholds
    assert (old.version, new.version) == ("simulated-1", "simulated-1-t1")
    assert new.manifest.training["retuned_from"] == {"version": old.version, "manifest_sha256": old.digest}
    assert new.manifest.training["decisions"] == old.manifest.training["decisions"]
    assert "cost-curve.png" in new.files
    for name in ("model.onnx", "xgboost-model"):
        assert new.files[name] == old.files[name]


def test_other_costs_change_decisions_and_no_score(tmp_path, bundle_dir, data_file, run_cli):
    out = tmp_path / "new"
    assert run_cli("thresholds", bundle_dir, data_file, "--out", out, "--review", 0.5, "--version", "cheap-1") == 0

    old, new = load_bundle(bundle_dir), load_bundle(out)
    assert new.version == "cheap-1"
    assert new.manifest.thresholds.review < old.manifest.thresholds.review
    assert new.golden.fraud_scores == old.golden.fraud_scores
    assert new.golden.decisions == new.decider.decide(new.golden.fraud_scores, new.golden_values())
    assert new.golden.decisions != old.golden.decisions
    assert f"Review from {new.manifest.thresholds.review:.4g}" in (out / "MODEL_CARD.md").read_text()


def test_expected_loss_is_written_and_decides_by_the_amount(tmp_path, bundle_dir, data_file, run_cli):
    out = tmp_path / "new"
    assert run_cli("thresholds", bundle_dir, data_file, "--out", out, "--kind", "expected_loss") == 0

    bundle = load_bundle(out)
    assert bundle.manifest.thresholds == ExpectedLoss(
        kind="expected_loss",
        amount_field="Amount",
        loss_share=1.0,
        chargeback_fee=15.0,
        false_decline=25.0,
        review=4.0,
    )
    values = np.repeat(bundle.golden_values()[:1], 2, axis=0)
    values[:, -1] = 1.0, 1e6
    assert bundle.decider.decide([0.02, 0.02], values) == ["approve", "review"]


@pytest.mark.parametrize("kind", ["cuts", "expected_loss"])
@pytest.mark.parametrize("reviews", [0, 20, 60])
def test_capacity_is_kept_on_the_rows_of_the_choice(tmp_path, bundle_dir, data_file, run_cli, kind, reviews):
    out = tmp_path / "new"
    limit = ("--kind", kind, "--reviews-per-day", reviews, "--transactions-per-day", 10_000)
    assert run_cli("thresholds", bundle_dir, data_file, "--out", out, *limit) == 0

    decisions = load_bundle(out).manifest.training["decisions"]
    assert decisions["validation"]["outcomes"]["chosen"]["shares"]["review"] <= reviews / 10_000 + 1e-9
    assert decisions["capacity"] == {"reviews_per_day": reviews, "transactions_per_day": 10_000.0}


def test_dry_run_shows_the_costs_and_writes_nothing(copied, data_file, run_cli, capsys):
    before = {path.name: path.read_bytes() for path in copied.iterdir()}

    assert run_cli("thresholds", copied, data_file, "--dry-run") == 0

    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
    shown = capsys.readouterr().out
    assert "approve everything" in shown and "decline from 0.5 on" in shown and "holdout" in shown


def test_curve_is_a_picture(tmp_path, copied, data_file, run_cli):
    curve = tmp_path / "curve.png"
    assert run_cli("thresholds", copied, data_file, "--dry-run", "--curve", curve) == 0

    assert curve.read_bytes().startswith(b"\x89PNG")


def test_other_rows_are_said_to_be_others(tmp_path, copied, run_cli, capsys):
    other = tmp_path / "other.csv"
    assert run_cli("simulate", "--rows", 2000, "--fraud-rate", 0.05, "--seed", 9, "--out", other) == 0

    assert run_cli("thresholds", copied, other) == 0

    assert "not the rows that the bundle was trained on" in capsys.readouterr().out
    assert "holdout" not in load_bundle(copied).manifest.training["decisions"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--reviews-per-day", 5), "needs --transactions-per-day"),
        (("--review", 0), "--review: what costs nothing"),
        (("--false-decline", 0), "--false-decline: what costs nothing"),
        (("--loss-share", 0, "--chargeback-fee", 0), "an approved fraud must cost something"),
        (("--version", "simulated-1"), "replies could not be told apart"),
    ],
)
def test_options_that_make_no_sense_are_refused(copied, data_file, run_cli, capsys, options, reason):
    before = load_bundle(copied).digest

    assert run_cli("thresholds", copied, data_file, *options) == 2

    assert reason in capsys.readouterr().err
    assert load_bundle(copied).digest == before


def test_own_split_wants_the_very_rows_of_the_training(bundle_dir, data_file, tmp_path):
    bundle, data = load_bundle(bundle_dir), read_data(data_file, CREDITCARD)
    parts = bundle.manifest.training["split"]["parts"]
    split = own_split(bundle, data, CREDITCARD)
    assert split is not None
    assert split.holdout.digest() == parts["holdout"]["sha256"]

    longer = tmp_path / "longer.csv"
    longer.write_text(data_file.read_text() + data_file.read_text().splitlines()[1].replace(",", "1,", 1) + "\n")
    assert own_split(bundle, read_data(longer, CREDITCARD), CREDITCARD) is None


def test_own_split_parts_of_another_split_are_not_taken_for_it(bundle_dir, data_file):
    bundle = load_bundle(bundle_dir)
    training = json.loads(json.dumps(bundle.manifest.training))
    training["split"]["parts"]["holdout"]["sha256"] = "0" * 64
    manifest = bundle.manifest.model_copy(update={"training": training})
    other = type(bundle)(manifest, bundle.digest, bundle.files, bundle.golden)

    assert own_split(other, read_data(data_file, CREDITCARD), CREDITCARD) is None


def test_fraud_scores_are_those_of_the_golden_cases(bundle_dir):
    bundle = load_bundle(bundle_dir)

    np.testing.assert_allclose(fraud_scores(bundle, bundle.golden_values()), bundle.golden.fraud_scores, atol=1e-9)


@pytest.mark.parametrize(("old", "new"), [("m-1", "m-1-t1"), ("m-1-t1", "m-1-t2"), ("m-1-t9", "m-1-t10")])
def test_next_version_counts_rules(old, new):
    assert next_version(old) == new
