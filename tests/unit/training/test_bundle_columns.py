"""Rows of another kind: what a bundle was trained on is read again as it was, without being told anew."""

import numpy as np
import pandas as pd
import pytest

from core.bundle import load_bundle
from core.decision import ExpectedLoss
from training.bundle_columns import columns_of
from training.data import open_data
from training.evaluation import HOLDOUT
from training.known_rows import own_split


@pytest.fixture(scope="module")
def own_data(tmp_path_factory):
    """A table of seven fields, one of them with gaps, in a day and a half of minutes."""
    rng = np.random.default_rng(3)
    n_rows = 3000
    is_fraud = rng.random(n_rows) < 0.08
    frame = pd.DataFrame({f"f{number}": rng.normal(is_fraud * number, 2.0).round(4) for number in range(1, 6)})
    frame["f1"] = frame["f1"].mask(rng.random(n_rows) < 0.1)
    frame["price"] = rng.exponential(80.0, n_rows).round(2)
    frame["minute"] = np.sort(rng.integers(0, 36 * 60, n_rows))
    frame["bad"] = is_fraud.astype(int)
    path = tmp_path_factory.mktemp("own") / "own.csv"
    frame.to_csv(path, index=False)
    columns = path.with_name("columns.yaml")
    columns.write_text(
        "target: bad\namount: price\ntime: {column: minute, unit: minutes, zero: midnight}\n"
        "fields:\n  f1: {optional: true}\nnotice: Made up.\n"
    )
    return path, columns


@pytest.fixture(scope="module", params=["random", "out-of-time"])
def own_bundle(request, tmp_path_factory, own_data, run_cli):
    out = tmp_path_factory.mktemp("models") / "own"
    data, columns = own_data
    options = ("--columns", columns, "--split", request.param, "--rotations", 1, "--name", "own")
    assert run_cli("train", data, "--out", out, *options) == 0
    return out


def test_columns_of_a_bundle_read_its_data_the_same_way(own_bundle, own_data):
    bundle = load_bundle(own_bundle)
    data, schema = open_data(own_data[0], columns_of(bundle))

    assert schema.field_names == bundle.field_names
    split = own_split(bundle, data, schema)
    assert split is not None
    assert split.holdout.digest() == bundle.manifest.training["split"]["parts"]["holdout"]["sha256"]
    assert (schema.time.unit_s, schema.time.starts_at_midnight) == (60.0, True)


def test_own_columns_are_evaluated_without_saying_them_again(own_bundle, own_data, tmp_path, run_cli):
    assert run_cli("evaluate", own_bundle, own_data[0], "--out", tmp_path) == 0

    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert HOLDOUT.split("'")[0] in text
    assert "f5" in text and "Made up." in text
    assert (tmp_path / "average-precision-by-hour.png").exists()


def test_own_amount_decides(own_bundle, own_data, tmp_path, run_cli):
    out = tmp_path / "new"
    assert run_cli("thresholds", own_bundle, own_data[0], "--kind", "expected_loss", "--out", out) == 0

    rule = load_bundle(out).manifest.thresholds
    assert isinstance(rule, ExpectedLoss)
    assert rule.amount_field == "price"


def test_every_row_with_gaps_is_scored_as_serving_would(own_bundle, own_data, tmp_path, run_cli, capsys):
    assert run_cli("evaluate", own_bundle, own_data[0], "--every-row", "--out", tmp_path) == 0

    assert "rows the model has seen" in capsys.readouterr().out
