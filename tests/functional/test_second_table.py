"""Another table, from file to answer, with no change of code: other names, eight features, dates, missing values."""

import csv
import io
import json

import numpy as np
import pytest

from core.bundle import load_bundle
from core.scoring.embedded import EmbeddedScorer
from tests.app_under_test import app_with
from tests.contract.case import CSV_TYPE, KEY_HEADER, post
from tests.contract.transports import InProcess
from tests.repository import SOURCES
from tests.unit.training.second_table import COLUMNS, FEATURES, payments
from training.columns import load_columns
from training.data import open_data
from training.model import fit_model
from training.pipeline import train_bundle
from training.run import Options

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The bundle's directory, and the model and split as training had them in memory."""
    folder = tmp_path_factory.mktemp("second")
    data, columns, out = folder / "payments.csv", folder / "columns.yaml", folder / "bundle"
    payments().to_csv(data, index=False)
    columns.write_text(COLUMNS)
    kept = {}

    def fit(split, *arguments):
        kept.update(split=split, model=fit_model(split, *arguments))
        return kept["model"]

    table, schema = open_data(data, load_columns(columns))
    options = Options("payments", "payments-1", split="out-of-time", n_rotations=1)
    train_bundle(table, schema, options, out, fit=fit)
    return out, kept["model"], kept["split"]


@pytest.fixture(scope="module")
def api(trained):
    bundle = load_bundle(trained[0])
    with InProcess.open(app_with(bundle, EmbeddedScorer(bundle), max_batch_items=5000)) as opened:
        yield opened


def rows_of(split, model, n_rows):
    names = model.schema.field_names
    return [dict(zip(names, row, strict=True)) for row in split.holdout.values[:n_rows].tolist()]


def test_second_table_api_answers_what_training_predicted(trained, api):
    _, model, split = trained
    expected = model.fraud_scores(split.holdout.values[:50])

    single = [api.send(post("/predict", json.dumps(row))).json()["fraud_score"] for row in rows_of(split, model, 50)]
    batch = api.send(post("/predict/batch", json.dumps({"transactions": rows_of(split, model, 50)}))).json()

    assert np.abs(np.array(single) - expected).max() <= 1e-6
    assert [each["fraud_score"] for each in batch["predictions"]] == single
    assert expected.min() < 0.01 < 0.2 < model.fraud_scores(split.holdout.values).max()


def test_second_table_manifest_says_what_was_done(trained):
    manifest = load_bundle(trained[0]).manifest
    training = manifest.training

    assert [field.name for field in manifest.fields] == ["booked_at", *FEATURES]
    assert training["split"]["by"] == "out-of-time"
    assert training["columns"]["target"] == "is_fraud"
    assert {trial["name"] for trial in training["preprocessing"]["trials"]} == {
        "log_amounts", "clip", "missing_below", "time_of_day", "raw_time",
    }  # fmt: skip
    assert not training["preprocessing"]["chosen"]["raw_time"]
    assert training["notice"] == "Invented payments."
    assert sum(part["rows"] for part in training["split"]["parts"].values()) <= training["data"]["rows"]


def test_second_table_missing_value_scores_as_its_stand_in(trained, api):
    _, model, split = trained
    (row,) = rows_of(split, model, 1)
    absent = {name: value for name, value in row.items() if name != "merchant_risk"}

    scores = [
        api.send(post("/predict", json.dumps(each))).json()["fraud_score"]
        for each in (
            absent,
            {**absent, "merchant_risk": None},
            {**absent, "merchant_risk": split.stand_ins["merchant_risk"]},
        )
    ]

    assert len(set(scores)) == 1


def test_second_table_required_field_is_asked_for_by_name(trained, api):
    _, model, split = trained
    (row,) = rows_of(split, model, 1)
    row.pop("rate")

    reply = api.send(post("/predict", json.dumps(row)))

    assert reply.status == 422
    assert reply.json()["errors"][0]["loc"] == ["body", "rate"]


def test_second_table_csv_with_empty_cells_scores_as_json(trained, api):
    _, model, split = trained
    rows = [{**row, "merchant_risk": ""} for row in rows_of(split, model, 5)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)

    table = api.send(post("/predict/batch", text.getvalue(), headers=(KEY_HEADER, CSV_TYPE)))
    objects = [{**row, "merchant_risk": None} for row in rows]
    listed = api.send(post("/predict/batch", json.dumps({"transactions": objects})))

    assert table.json()["predictions"] == listed.json()["predictions"]


def test_second_table_explains(trained, api):
    _, model, split = trained
    fraud = split.holdout.values[split.holdout.is_fraud][0].tolist()
    row = dict(zip(model.schema.field_names, fraud, strict=True))

    reply = api.send(post("/predict?explain=true", json.dumps(row))).json()

    assert 1 <= len(reply["reasons"]) <= 5
    assert {reason["feature"] for reason in reply["reasons"]} <= set(FEATURES)


def test_second_table_needs_no_code_of_its_own():
    sources = [path.read_text(encoding="utf-8") for path in SOURCES.rglob("*.py")]

    assert not any(name in text for text in sources for name in ("merchant_risk", "n_last_hour"))
