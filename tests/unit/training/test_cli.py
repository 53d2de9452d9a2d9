import asyncio
import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from core.bundle import BOOSTER, load_bundle
from core.scoring.embedded import EmbeddedScorer
from training.cli import app
from training.documents import table_bytes
from training.schema import CREDITCARD
from training.train import booster_bytes

SOURCE = Path(__file__).parents[3] / "src"


def served_scores(bundle, values):
    raw_scores = asyncio.run(EmbeddedScorer(bundle).score(bundle.preprocessor.transform(values)))
    return bundle.manifest.calibration.probabilities(raw_scores)


def test_train_bundle_serves_the_scores_of_training(run, bundle_dir):
    values = run.split.holdout.values

    served = served_scores(load_bundle(bundle_dir), values)

    assert np.abs(served - run.model.fraud_scores(values)).max() <= 1e-6


def test_train_again_gives_the_same_booster(run, bundle_dir):
    assert load_bundle(bundle_dir).files[BOOSTER] == booster_bytes(run.model.booster)


def test_train_manifest_records_what_was_done(run, bundle_dir):
    training = load_bundle(bundle_dir).manifest.training

    assert training["seed"] == 2026
    assert training["data"]["sha256"] == run.data.sha256
    assert training["split"]["parts"]["holdout"]["sha256"] == run.split.holdout.digest()
    assert training["export_proof"]["n_rows"] >= 10_000
    assert training["decisions"]["validation"]["review"]["threshold"] == run.thresholds.review


def test_train_model_card_shows_every_plot_and_the_notice(bundle_dir):
    files = load_bundle(bundle_dir).files
    card = files["MODEL_CARD.md"].decode()
    plots = [name for name in files if name.endswith(".png")]

    assert len(plots) == 4
    assert all(f"]({name})" in card for name in plots)
    assert "Simulated rows." in card
    assert max(len(line) for line in card.splitlines() if not line.startswith("|")) <= 120


def test_train_plots_name_no_library_version(bundle_dir):
    assert not any(b"matplotlib" in path.read_bytes().lower() for path in bundle_dir.glob("*.png"))


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_simulate_tables_hold_rows_in_the_order_of_time(run_cli, tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    assert run_cli("simulate", "--rows", 200, "--fraud-rate", 0.1, "--out", path) == 0

    content = gzip.decompress(path.read_bytes()) if suffix == ".csv.gz" else path.read_bytes()
    rows = list(csv.DictReader(content.decode().splitlines()))
    times = [float(row["Time"]) for row in rows]
    assert (len(rows), sum(row["Class"] == "1" for row in rows)) == (200, 20)
    assert times == sorted(times)


def test_simulate_json_is_a_batch_request_without_labels(run_cli, tmp_path):
    path = tmp_path / "new" / "rows.json"
    assert run_cli("simulate", "--rows", 3, "--out", path) == 0

    body = json.loads(path.read_text())
    assert [list(transaction) for transaction in body["transactions"]] == [list(CREDITCARD.field_names)] * 3


def test_events_files_show_each_decision_and_form(run_cli, bundle_dir, tmp_path):
    assert run_cli("events", "--out", tmp_path, "--bundle", bundle_dir) == 0

    bundle = load_bundle(bundle_dir)
    for name, decision in (("legitimate", "approve"), ("fraud", "decline")):
        body = json.loads((tmp_path / f"predict_{name}.json").read_text())
        score = served_scores(bundle, np.array([[body[field] for field in bundle.field_names]]))[0]
        assert bundle.manifest.thresholds.decide(score) == decision
    assert len(json.loads((tmp_path / "predict_vector.json").read_text())["features"]) == 30
    batch = json.loads((tmp_path / "batch.json").read_text())["transactions"]
    assert {"features" in transaction for transaction in batch} == {True, False}
    lines = (tmp_path / "batch.csv").read_text().splitlines()
    assert (lines[0], len(lines)) == (",".join(["transaction_id", *CREDITCARD.field_names]), 21)


BAD_CALLS = {
    "no such file": (("train", "absent.csv", "--out", "x"), "absent.csv: No such file or directory"),
    "bad rows": (("train", "bad.csv", "--out", "x"), "bad.csv: missing columns"),
    "few frauds": (("train", "legitimate.csv", "--out", "x"), "0 frauds: at least 20"),
    "target with other files": (("train", "good.csv", "--out", "."), "holds files that are no model bundle"),
    "bad name": (("train", "good.csv", "--out", "x", "--name", "Big Model"), "--name: String should match"),
    "bad version": (("train", "good.csv", "--out", "x", "--version", "1/2"), "--version: String should match"),
    "bad prevalence": (("train", "good.csv", "--out", "x", "--prevalence", "7"), "Invalid value"),
    "no target": (("train", "good.csv"), "Missing option"),
    "unknown command": (("retrain",), "No such command"),
    "unknown format": (("simulate", "--rows", "5", "--out", "rows.xlsx"), "must end with .csv, .csv.gz or .json"),
    "no rows": (("simulate", "--rows", "0", "--out", "rows.csv"), "Invalid value"),
    "unwritable": (("simulate", "--rows", "5", "--out", "bad.csv/rows.csv"), "cannot be written"),
    "no bundle": (("events", "--bundle", "absent", "--out", "x"), "no model bundle at absent"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_command_bad_call_has_one_clear_error_and_exit_code_2(run_cli, tmp_path, monkeypatch, capsys, table, case):
    arguments, message = BAD_CALLS[case]
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("Time,V1\n1,2\n")
    Path("good.csv").write_bytes(table_bytes(table, CREDITCARD, ".csv"))
    Path("legitimate.csv").write_bytes(table_bytes(table.take(np.arange(200)), CREDITCARD, ".csv"))
    before = sorted(tmp_path.iterdir())

    assert run_cli(*arguments) == 2

    errors = capsys.readouterr().err
    assert message in " ".join(errors.split())
    assert "Traceback" not in errors
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", [command.name or command.callback.__name__ for command in app.registered_commands])
def test_command_help_says_what_it_does(run_cli, capsys, command):
    assert run_cli(command, "--help") == 0

    assert "Usage:" in capsys.readouterr().out


def test_module_runs_as_a_program_without_traceback(tmp_path):
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-W", "error", "-m", "training", "train", "absent.csv", "--out", "x"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "error: absent.csv: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr
