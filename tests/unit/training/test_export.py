import json

import numpy as np
import onnx
import pytest
import xgboost as xgb

from training.errors import ExportError
from training.export import MIN_PROOF_ROWS, export_onnx, probe_rows, prove_equal
from training.train import booster_bytes


@pytest.fixture(scope="module")
def rows(run):
    model = run.model
    ends = [[each.minimum for each in model.schema.fields], [each.maximum for each in model.schema.fields]]
    known = model.transform(run.split.train.values)
    return probe_rows(model.booster, known, model.transform(np.array(ends)), seed=1)


def tampered(booster, change):
    """Return a copy of the booster whose JSON was changed in place by `change`."""
    document = json.loads(booster_bytes(booster))
    change(document["learner"]["gradient_booster"]["model"]["trees"])
    copy = xgb.Booster()
    copy.load_model(bytearray(json.dumps(document).encode()))
    return copy


def first_leaf_a_little_higher(trees):
    leaf = trees[0]["left_children"].index(-1)
    trees[0]["split_conditions"][leaf] += 1e-4


def one_split_a_bit_further(trees):
    threshold = np.float32(trees[5]["split_conditions"][0])
    trees[5]["split_conditions"][0] = float(np.nextafter(threshold, np.float32(np.inf)))


def test_prove_equal_exported_model_gives_the_margin_bit_for_bit(run, rows):
    proof = prove_equal(export_onnx(run.model.booster), run.model.booster, rows)

    assert proof.n_rows >= MIN_PROOF_ROWS
    assert proof.max_margin_difference == 0.0


@pytest.mark.parametrize("change", [first_leaf_a_little_higher, one_split_a_bit_further])
def test_prove_equal_tampered_model_is_refused(run, rows, change):
    other = tampered(run.model.booster, change)

    with pytest.raises(ExportError, match="differs from the booster"):
        prove_equal(export_onnx(other), run.model.booster, rows)


def test_prove_equal_few_rows_prove_nothing(run, rows):
    with pytest.raises(ExportError, match="at least 10000"):
        prove_equal(export_onnx(run.model.booster), run.model.booster, rows[: MIN_PROOF_ROWS - 1])


def test_probe_rows_hold_every_split_its_neighbours_and_the_extremes(run, rows):
    column = 13
    trees = json.loads(booster_bytes(run.model.booster))["learner"]["gradient_booster"]["model"]["trees"]
    thresholds = {
        np.float32(condition)
        for tree in trees
        for index, condition, left in zip(
            tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
        )
        if left != -1 and index == column
    }
    values = set(rows[:, column])

    assert len(thresholds) > 5
    for sign in (-np.inf, np.inf):
        assert {np.nextafter(each, np.float32(sign)) for each in thresholds} <= values
    assert thresholds <= values
    assert min(values) < -1e29 and max(values) > 1e29
    assert np.signbit(rows[rows[:, column] == 0.0, column]).any()


def test_export_onnx_is_valid_and_old_enough_for_every_supported_runtime(run):
    content = export_onnx(run.model.booster)
    model = onnx.load_from_string(content)

    onnx.checker.check_model(model)
    assert content == export_onnx(run.model.booster)
    assert model.ir_version <= 8
    assert {each.domain: each.version for each in model.opset_import} == {"ai.onnx.ml": 1}
    assert [each.op_type for each in model.graph.node] == ["TreeEnsembleRegressor"]
