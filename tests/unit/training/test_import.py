import asyncio
import json

import joblib
import numpy as np
import pytest
import xgboost as xgb
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from core.bundle import load_bundle
from core.scoring.embedded import EmbeddedScorer
from tests.unit.training.second_table import payments
from training.errors import ImportedModelError
from training.legacy import read_legacy
from training.train import raw_scores_of

ORDER = ["basket", "value", "n_last_hour", "distance_km", "rate"]


class Planted:
    """What a hostile pickle would be: reading it runs code."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """An older project's directory, and what its model says of its data: scaler, weighted classes, own base score."""
    folder = tmp_path_factory.mktemp("older")
    frame = payments(3000, 150).dropna(axis=1)
    frame.to_csv(folder / "payments.csv", index=False)
    scaler = StandardScaler().fit(frame[ORDER])
    joblib.dump(scaler, folder / "scaler.joblib")
    (folder / "feature_order.json").write_text(json.dumps({"features": ORDER}))
    rows = xgb.DMatrix(scaler.transform(frame[ORDER]), frame["is_fraud"], feature_names=ORDER)
    parameters = {"objective": "binary:logistic", "max_depth": 3, "scale_pos_weight": 19.0, "base_score": 0.05}
    model = xgb.train(parameters, rows, 40)
    model.set_attr(best_iteration="29")
    for suffix in ("json", "ubj"):
        model.save_model(folder / f"model.{suffix}")
    return folder, frame, model[:30].predict(rows)


def read(folder, booster="model.json", scaler="scaler.joblib", order="feature_order.json", *, trust=True):
    return read_legacy(folder / booster, folder / order, scaler and folder / scaler, trust_pickle=trust)


def import_arguments(folder, out):
    return (
        "import", folder / "payments.csv", "--booster", folder / "model.json", "--order", folder / "feature_order.json",
        "--scaler", folder / "scaler.joblib", "--target", "is_fraud", "--amount", "value", "--out", out,
    )  # fmt: skip


def test_import_bundle_scores_as_the_older_project_did(run_cli, older, tmp_path):
    folder, frame, expected = older

    assert run_cli(*import_arguments(folder, tmp_path / "bundle"), "--trust-pickle") == 0

    bundle = load_bundle(tmp_path / "bundle")
    values = frame[list(bundle.field_names)].to_numpy(np.float64)
    raw_scores = asyncio.run(EmbeddedScorer(bundle).score(bundle.preprocessor.transform(values)))
    assert np.abs(raw_scores - expected).max() <= 1e-6
    assert [feature.name for feature in bundle.manifest.features] == ORDER
    fraud_scores = bundle.manifest.calibration.probabilities(raw_scores)
    assert fraud_scores.mean() == pytest.approx(0.05, abs=0.01)
    assert raw_scores.mean() > 1.3 * fraud_scores.mean()
    assert set(bundle.manifest.training["imported"]) == {"booster", "order", "scaler"}
    assert "imported" in bundle.files["MODEL_CARD.md"].decode()


def test_import_without_trust_reads_no_pickle(run_cli, older, tmp_path, capsys):
    folder, _, _ = older
    planted = tmp_path / "planted"
    joblib.dump(Planted(str(planted)), tmp_path / "scaler.joblib")
    arguments = [each if each != folder / "scaler.joblib" else tmp_path / "scaler.joblib" for each in (
        import_arguments(folder, tmp_path / "bundle")
    )]  # fmt: skip

    assert run_cli(*arguments) == 2

    assert "runs whatever code it holds" in " ".join(capsys.readouterr().err.split())
    assert not planted.exists()
    assert not (tmp_path / "bundle").exists()


def test_import_help_says_that_a_pickle_executes_code(run_cli, capsys):
    assert run_cli("import", "--help") == 0

    assert "EXECUTES WHATEVER CODE IT HOLDS" in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_read_legacy_ubjson_is_the_same_model_as_json(older):
    folder, frame, _ = older
    rows = frame[ORDER].to_numpy(np.float32)

    scores = [raw_scores_of(read(folder, name).booster, rows) for name in ("model.json", "model.ubj")]

    assert np.array_equal(*scores)


def test_read_legacy_base_score_of_newer_versions_is_not_lost(older, tmp_path):
    folder, frame, expected = older
    document = json.loads((folder / "model.json").read_text())
    parameters = document["learner"]["learner_model_param"]
    parameters["base_score"] = f"[{parameters['base_score']}]"
    document["version"] = [3, 2, 0]
    (tmp_path / "model.json").write_text(json.dumps(document))

    legacy = read_legacy(
        tmp_path / "model.json", folder / "feature_order.json", folder / "scaler.joblib", trust_pickle=True
    )

    scaled = joblib.load(folder / "scaler.joblib").transform(frame[ORDER]).astype(np.float32)
    assert np.abs(raw_scores_of(legacy.booster, scaled) - expected).max() <= 1e-6


def written(tmp_path, name, content):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        joblib.dump(content, path)
    return path


BAD_FILES = {
    "other scaler": ("scaler", MinMaxScaler().fit(np.eye(5)), "holds a MinMaxScaler; only StandardScaler"),
    "unfitted scaler": ("scaler", StandardScaler(), "was never fitted"),
    "scaler of other columns": ("scaler", StandardScaler().fit(np.eye(4)), "scales 4 columns, which are not those"),
    "cut pickle": ("scaler", b"\x80\x04\x95", "cannot be unpickled"),
    "order that is no list": ("order", '{"order": 5}', "neither a list of names nor an object"),
    "order that is no JSON": ("order", "basket", "not JSON"),
    "order with a name twice": ("order", '["a", "a"]', "one name twice"),
    "order of another width": ("order", '["a", "b"]', "which are not those of the feature order"),
    "booster in a pickle": ("booster", b"\x80\x04\x95", "neither JSON nor UBJSON"),
    "booster of another kind": ("booster", "{}", "neither JSON nor UBJSON"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_read_legacy_bad_file_is_refused_by_name(older, tmp_path, case):
    folder, _, _ = older
    role, content, message = BAD_FILES[case]
    files = {
        "booster": folder / "model.json",
        "order": folder / "feature_order.json",
        "scaler": folder / "scaler.joblib",
    }
    files[role] = written(tmp_path, "file", content)

    with pytest.raises(ImportedModelError, match=message):
        read_legacy(**files, trust_pickle=True)


def test_read_legacy_booster_for_another_objective_is_refused(older, tmp_path):
    folder, frame, _ = older
    xgb.train({"objective": "reg:squarederror"}, xgb.DMatrix(frame[ORDER].to_numpy(), frame["value"]), 2).save_model(
        tmp_path / "model.json"
    )

    with pytest.raises(ImportedModelError, match="reg:squarederror; only gbtree for binary:logistic"):
        read_legacy(tmp_path / "model.json", folder / "feature_order.json", None, trust_pickle=False)
