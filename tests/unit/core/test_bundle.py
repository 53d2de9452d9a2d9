"""`load_bundle` and `write_bundle`: what makes a bundle, and how each fault is named."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.bundle import MIN_GOLDEN_CASES, Bundle, check_golden_scores, load_bundle, write_bundle
from core.errors import BundleError
from tests.tiny_bundle import (
    EXPECTED_LOSS,
    FEATURES,
    FIELDS,
    golden_cases,
    tiny_files,
    tiny_manifest,
    write_tiny_bundle,
)


def test_load_bundle_intact_one_is_what_was_written(tiny: Bundle, tiny_path: Path) -> None:
    assert tiny.version == "tiny-1.0"
    assert tiny.field_names == ("json", "class", "log.amount")
    assert tiny.files == tiny_files()
    assert tiny.digest == hashlib.sha256((tiny_path / "manifest.json").read_bytes()).hexdigest()
    assert tiny.golden_features().shape == (50, 2)


def test_load_bundle_pinned_by_its_digest_is_accepted(tiny: Bundle, tiny_path: Path) -> None:
    assert load_bundle(tiny_path, expected_digest=tiny.digest) == tiny


def test_load_bundle_other_than_the_pinned_one_is_refused(tiny_path: Path) -> None:
    with pytest.raises(BundleError, match="not the bundle that MODEL_BUNDLE_SHA256 names"):
        load_bundle(tiny_path, expected_digest="0" * 64)


def test_load_bundle_no_directory_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no model bundle at .*nowhere \(No such file or directory\); set MODEL_B"):
        load_bundle(tmp_path / "nowhere")


def test_load_bundle_empty_directory_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is not a model bundle: manifest\.json is missing"):
        load_bundle(tmp_path)


def test_write_bundle_replaces_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "left-over").write_text("from another version")

    digest = write_tiny_bundle(tmp_path)

    assert load_bundle(tmp_path).digest == digest
    assert {path.name for path in tmp_path.iterdir()} == {*tiny_files(), "manifest.json", "manifest.json.sha256"}


def test_write_bundle_digest_file_is_in_the_format_of_sha256sum(tmp_path: Path) -> None:
    digest = write_tiny_bundle(tmp_path)

    assert (tmp_path / "manifest.json.sha256").read_text() == f"{digest}  manifest.json\n"


def test_write_bundle_same_content_gives_same_bytes(tmp_path: Path) -> None:
    assert write_tiny_bundle(tmp_path / "a") == write_tiny_bundle(tmp_path / "b")


def feature(**changes: Any) -> list[dict[str, Any]]:
    return [FEATURES[0], {**FEATURES[1], **changes}]


def field(**changes: Any) -> list[dict[str, Any]]:
    return [{**FIELDS[0], **changes}, *FIELDS[1:]]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": 2}, r"schema_version: Input should be 1"),
        ({"name": "Tiny Bundle"}, "name: String should match"),
        ({"version": "../1"}, "version: String should match"),
        ({"fields": []}, "fields: Tuple should have at least 1 item"),
        ({"fields": [*FIELDS, FIELDS[0]]}, "names must be unique"),
        ({"features": [*FEATURES, FEATURES[0]]}, "names must be unique"),
        ({"fields": [*FIELDS, {**FIELDS[0], "name": "features"}]}, "reserved field names: features"),
        ({"fields": [*FIELDS, {**FIELDS[0], "name": "transaction_id"}]}, "reserved field names: transaction_id"),
        ({"features": feature(field="elsewhere")}, "features made from unknown fields: elsewhere"),
        ({"fields": field(minimum=10.0)}, "fields with an empty range: json"),
        ({"fields": field(name="")}, r"fields\.0\.name: String should have at least 1 character"),
        ({"fields": field(name="a b")}, r"fields\.0\.name: String should match"),
        ({"fields": field(minimum="0")}, r"fields\.0\.minimum: Input should be a valid number"),
        ({"fields": field(default=0.0)}, r"fields\.0\.default: Extra inputs are not permitted"),
        ({"thresholds": {"review": 0.9, "decline": 0.1}}, r"thresholds\.review must not exceed"),
        ({"thresholds": {"kind": "cut", "review": 0.1, "decline": 0.5}}, "thresholds: Input tag 'cut'"),
        ({"thresholds": EXPECTED_LOSS}, r"golden\.json records no decisions"),
        ({"thresholds": {**EXPECTED_LOSS, "review": -1.0}}, r"thresholds\.expected_loss\.review: Input should be"),
        ({"thresholds": {**EXPECTED_LOSS, "amount_field": "Amount"}}, r"thresholds\.amount_field is no field: Amount"),
        ({"thresholds": {**EXPECTED_LOSS, "amount_field": "json"}}, "json may be negative"),
        ({"calibration": {"kind": "beta", "odds_factor": 1.0}}, r"calibration: Input tag 'beta'"),
        ({"calibration": {"kind": "isotonic", "odds_factor": 1.0}}, r"calibration\.isotonic\.knots: Field required"),
        ({"prevalence": 0.0}, "prevalence: Input should be greater than 0"),
        ({"explanation": {"baseline": []}}, r"explanation\.baseline: Tuple should have at least 1 item"),
        ({"explanation": {"baseline": [[0.0, 0.0]]}}, "does not have one value for each field"),
        ({"explanation": {"baseline": [[0.0, -1.0, 1e7]]}}, r"explanation\.baseline out of range: class, log\.amount"),
        ({"explanation": {"baseline": [[0.0, None, 0.0]]}}, r"explanation\.baseline\.0\.1: Input should be a valid"),
        ({"fields": field(label="x" * 101)}, r"fields\.0\.label: String should have at most 100"),
        ({"pickle": "model.pkl"}, "pickle: Extra inputs are not permitted"),
        ({"fields": field(maximum=1e39)}, r"values within the declared range overflow float32: json"),
        ({"fields": field(if_missing=1e7)}, r"what stands for a missing value is out of range: json"),
        ({"features": feature(steps=[{"kind": "time_of_day", "function": "tangent"}])}, r"function: Input should be"),
        ({"features": feature(steps=[{"kind": "clip", "minimum": 1.0, "maximum": 0.0}])}, "minimum is above the max"),
        ({"fields": field(name="other"), "features": feature(field="other")}, "do not have the fields"),
        ({"features": feature(steps=FEATURES[0]["steps"])}, "preprocessing does not turn the golden transactions"),
        ({"features": list(reversed(FEATURES))}, "preprocessing does not turn the golden transactions"),
        ({"features": [*FEATURES, {"name": "more", "field": "class"}]}, "overflow float32: more"),
    ],
)
def test_load_bundle_manifest_that_makes_no_sense_is_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    """Every digest is right here: the fault is in what the manifest says."""
    write_tiny_bundle(tmp_path, **changes)

    with pytest.raises(BundleError, match=reason):
        load_bundle(tmp_path)


def drop_a_case(golden: dict[str, Any]) -> None:
    for cases in golden.values():
        cases.pop()


def drop_a_score(golden: dict[str, Any]) -> None:
    golden["raw_scores"].pop()


def impossible_score(golden: dict[str, Any]) -> None:
    golden["fraud_scores"][3] = 1.5


def other_field(golden: dict[str, Any]) -> None:
    golden["transactions"][3]["elsewhere"] = golden["transactions"][3].pop("json")


def short_features(golden: dict[str, Any]) -> None:
    golden["features"][3].pop()


def other_decision(golden: dict[str, Any]) -> None:
    golden["decisions"] = ["approve"] * MIN_GOLDEN_CASES


def short_decisions(golden: dict[str, Any]) -> None:
    golden["decisions"] = ["approve"]


def other_feature(golden: dict[str, Any]) -> None:
    golden["features"][3][0] += 1e-3


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (drop_a_case, r"golden\.json is not valid: transactions: List should have at least 50 items"),
        (other_decision, "the golden transactions are not decided as recorded"),
        (short_decisions, "the lists of golden cases differ in length"),
        (drop_a_score, "the lists of golden cases differ in length"),
        (impossible_score, r"fraud_scores\.3: Input should be less than or equal to 1"),
        (other_field, "the golden transactions do not have the fields of the manifest"),
        (short_features, "preprocessing does not turn the golden transactions"),
        (other_feature, "preprocessing does not turn the golden transactions"),
    ],
)
def test_load_bundle_golden_cases_that_make_no_sense_are_refused(tmp_path: Path, spoil: Any, reason: str) -> None:
    golden = copy.deepcopy(golden_cases())
    spoil(golden)
    write_bundle(tmp_path, tiny_manifest(), {**tiny_files(), "golden.json": json.dumps(golden).encode()})

    with pytest.raises(BundleError, match=reason):
        load_bundle(tmp_path)


@pytest.mark.parametrize("name", ["model.onnx", "xgboost-model", "golden.json", "baseline.json", "MODEL_CARD.md"])
def test_load_bundle_required_file_that_nobody_lists_is_refused(tmp_path: Path, name: str) -> None:
    files = tiny_files()
    del files[name]
    write_bundle(tmp_path, tiny_manifest(), files)

    with pytest.raises(BundleError, match=f"the manifest does not list {name}"):
        load_bundle(tmp_path)


def test_check_golden_scores_recorded_ones_pass_within_the_tolerance(tiny: Bundle) -> None:
    check_golden_scores(tiny, np.array(tiny.golden.raw_scores) + 0.2e-6)


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_check_golden_scores_one_that_differs_is_named_by_its_index(tiny: Bundle, wrong: float) -> None:
    scores = np.array(tiny.golden.raw_scores)
    scores[17] = wrong

    with pytest.raises(BundleError, match=r"the raw score of 1 of 50 golden cases .*\(first: case 17\)"):
        check_golden_scores(tiny, scores)


def test_check_golden_scores_calibration_of_another_model_is_noticed(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, calibration={"kind": "prior_correction", "odds_factor": 0.26})
    bundle = load_bundle(tmp_path)

    with pytest.raises(BundleError, match="the fraud score of 50 of 50 golden cases"):
        check_golden_scores(bundle, np.array(bundle.golden.raw_scores))


@pytest.mark.parametrize("shape", [(49,), (51,), (50, 1), (1,), ()])
def test_check_golden_scores_wrong_count_is_refused(tiny: Bundle, shape: tuple[int, ...]) -> None:
    with pytest.raises(BundleError, match="one score for each golden case"):
        check_golden_scores(tiny, np.full(shape, 0.5))
