"""An older project's model: a booster, the order of its features, and a pickled scaler.

The one place that unpickles: offline, and only when told to.
"""

from __future__ import annotations

import hashlib
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import xgboost as xgb
from pydantic import TypeAdapter, ValidationError
from sklearn.preprocessing import StandardScaler

from core.preprocessing import FeatureMatrix, FeatureSpec, Preprocessor, Standardise
from training.calibrate import choose_calibration
from training.errors import ExportError, ImportedModelError
from training.evaluate import Scored
from training.export import TOLERANCE
from training.model import FittedModel
from training.pipeline import FitModel
from training.schema import TableSchema
from training.split import Split
from training.train import BASE_SCORE, Parameters, margins_of, raw_scores_of
from training.weighting import real_world_weights

_NAMES = TypeAdapter(list[str])
_KEYS = ("features", "feature_order", "feature_names", "columns")
_HALVINGS = 200


@dataclass(frozen=True)
class LegacyModel:
    """What the files say, as this project says it."""

    features: tuple[FeatureSpec, ...]
    booster: xgb.Booster
    """Its base score is one half; where it was not, its first tree carries the difference."""
    sha256: dict[str, str]
    """Of each file that was read."""


def read_order(path: Path) -> list[str]:
    """Read the names of the features: a JSON list, or an object that has one.

    Raises
    ------
    ImportedModelError
    """
    try:
        document = json.loads(_read(path))
    except ValueError as error:
        raise ImportedModelError(f"{path}: not JSON") from error
    if isinstance(document, dict):
        document = next((document[key] for key in _KEYS if key in document), None)
    try:
        names = _NAMES.validate_python(document, strict=True)
    except ValidationError as error:
        raise ImportedModelError(f"{path}: neither a list of names nor an object with one as {_KEYS[0]}") from error
    if not names or len(set(names)) != len(names):
        raise ImportedModelError(f"{path}: no name, or one name twice")
    return names


def read_legacy(booster: Path, order: Path, scaler: Path | None, *, trust_pickle: bool) -> LegacyModel:
    """Read the files of an older project.

    Raises
    ------
    ImportedModelError
        A file is missing or damaged, holds another kind of scaler or booster, they do not fit each other, or the
        scaler is a pickle and nobody said that it may run code.
    """
    names = read_order(order)
    steps = {} if scaler is None else _read_scaler(scaler, names, trust_pickle=trust_pickle)
    features = tuple(FeatureSpec(name=name, field=name, steps=steps.get(name, ())) for name in names)
    files = {"booster": booster, "order": order, **({} if scaler is None else {"scaler": scaler})}
    digests = {role: hashlib.sha256(_read(path)).hexdigest() for role, path in files.items()}
    return LegacyModel(features, _read_booster(booster, names), digests)


def fit_legacy(legacy: LegacyModel) -> FitModel:
    """Return what stands for `fit_model` when model and scaler are there: nothing is fitted but the calibration."""

    def fit(
        split: Split,
        schema: TableSchema,
        _parameters: Parameters,
        prevalence: float,
        seed: int,
        on_progress: Callable[[float], None],
    ) -> FittedModel:
        features = Preprocessor(schema.fields, legacy.features).transform(split.validation.values)
        weights = real_world_weights(split.validation, prevalence)
        raw = Scored.of(raw_scores_of(legacy.booster, features), split.validation.is_fraud, weights)
        choice = choose_calibration(raw, _odds_factor(raw, prevalence), seed)
        on_progress(1.0)
        return FittedModel(schema, legacy.features, legacy.booster, choice.calibration, choice.trials)

    return fit


def _odds_factor(raw: Scored, prevalence: float) -> float:
    """Return the factor on the odds under which the mean probability is the prevalence.

    Nobody knows how the older project weighted its classes. This factor is the likeliest under a model of log-odds
    that are right but for a constant, since there the mean of the probabilities is the mean of the labels.
    """
    low, high = -30.0, 13.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        odds = raw.scores * math.exp(middle)
        mean = np.average(odds / (odds + 1.0 - raw.scores), weights=raw.weights)
        low, high = (low, middle) if mean > prevalence else (middle, high)
    return math.exp(low)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImportedModelError(f"{path}: {error.strerror}") from error


def _read_scaler(path: Path, names: list[str], *, trust_pickle: bool) -> dict[str, tuple[Standardise, ...]]:
    """Return the step of each feature that the scaler scales."""
    _read(path)
    if not trust_pickle:
        raise ImportedModelError(
            f"{path} is a pickle, and reading it runs whatever code it holds. If you trust who made it: --trust-pickle"
        )
    try:
        with warnings.catch_warnings():
            # scikit-learn warns of other versions of itself; mean and scale have meant the same in all of them.
            warnings.simplefilter("ignore")
            scaler = joblib.load(path)
    except Exception as error:  # noqa: BLE001 (what a damaged pickle raises is up to the pickle)
        raise ImportedModelError(f"{path}: cannot be unpickled ({type(error).__name__})") from error
    if type(scaler) is not StandardScaler:
        raise ImportedModelError(f"{path}: holds a {type(scaler).__name__}; only StandardScaler is understood")
    if not hasattr(scaler, "n_features_in_"):
        raise ImportedModelError(f"{path}: the scaler was never fitted")
    scaled = [str(name) for name in getattr(scaler, "feature_names_in_", names)]
    if len(scaled) != scaler.n_features_in_ or not set(scaled) <= set(names):
        raise ImportedModelError(
            f"{path}: scales {scaler.n_features_in_} columns, which are not those of the feature order ({len(names)})"
        )
    means = np.zeros(len(scaled)) if scaler.mean_ is None or not scaler.with_mean else scaler.mean_
    scales = np.ones(len(scaled)) if scaler.scale_ is None else scaler.scale_
    return {
        name: (Standardise(kind="standardise", mean=float(mean), scale=float(scale)),)
        for name, mean, scale in zip(scaled, means, scales, strict=True)
    }


def _read_booster(path: Path, names: list[str]) -> xgb.Booster:
    document, base_score = _booster_document(path, _read(path))
    learner = document["learner"]
    objective, kind = learner["objective"]["name"], learner["gradient_booster"]["name"]
    if (objective, kind) != ("binary:logistic", "gbtree"):
        raise ImportedModelError(f"{path}: {kind} for {objective}; only gbtree for binary:logistic is understood")
    if (n_features := int(learner["learner_model_param"]["num_feature"])) != len(names):
        raise ImportedModelError(f"{path}: takes {n_features} features, the order names {len(names)}")
    if (own := learner.get("feature_names")) and list(own) != names:
        raise ImportedModelError(f"{path}: its own names of the features differ from the order")
    learner["feature_names"], learner["feature_types"] = [], []
    learner["learner_model_param"]["base_score"] = repr(BASE_SCORE)
    best_round = learner.get("attributes", {}).get("best_iteration")
    learner["attributes"] = {}
    plain = _load(document)
    if best_round is not None:
        plain = plain[: int(best_round) + 1]
    if not 0.0 < base_score < 1.0:
        raise ImportedModelError(f"{path}: base score {base_score:g} is no probability")
    offset = math.log(base_score / (1.0 - base_score))
    return plain if offset == 0.0 else _with_offset(plain, offset)


def _booster_document(path: Path, content: bytes) -> tuple[dict[str, Any], float]:
    """Return the booster as a JSON document, and the base score that its file has.

    Newer versions write the base score as a list, which the version here reads as one half without a word.
    """
    try:
        document = json.loads(content)
        text = document["learner"]["learner_model_param"]["base_score"]
    except (ValueError, KeyError, TypeError):
        document, text = _from_ubjson(path, content)
    try:
        base_score = float(str(text).strip("[]"))
    except ValueError as error:
        raise ImportedModelError(f"{path}: a base score for each class; only one is understood") from error
    return document, base_score


def _from_ubjson(path: Path, content: bytes) -> tuple[dict[str, Any], str]:
    key, mark = b"base_score", b"SL"
    start = content.find(key) + len(key)
    if not content.startswith(b"{") or start < len(key) or content[start : start + 2] != mark:
        raise ImportedModelError(f"{path}: neither JSON nor UBJSON: save it with booster.save_model('model.json')")
    length = int.from_bytes(content[start + 2 : start + 10], "big")
    booster = xgb.Booster()
    try:
        booster.load_model(bytearray(content))
    except xgb.core.XGBoostError as error:
        raise ImportedModelError(f"{path}: XGBoost {xgb.__version__} cannot read it") from error
    document: dict[str, Any] = json.loads(booster.save_raw("json"))
    return document, content[start + 10 : start + 10 + length].decode("ascii", "replace")


def _load(document: dict[str, Any]) -> xgb.Booster:
    booster = xgb.Booster()
    try:
        booster.load_model(bytearray(json.dumps(document).encode()))
    except xgb.core.XGBoostError as error:
        raise ImportedModelError(f"XGBoost {xgb.__version__} cannot read the booster") from error
    return booster


def _with_offset(booster: xgb.Booster, offset: float) -> xgb.Booster:
    """Return the booster with `offset` added to each leaf of its first tree, in place of another base score."""
    document = json.loads(booster.save_raw("json"))
    tree = document["learner"]["gradient_booster"]["model"]["trees"][0]
    for node, left in enumerate(tree["left_children"]):
        if left == -1:
            tree["split_conditions"][node] += offset
            tree["base_weights"][node] += offset
    moved = _load(document)
    rows: FeatureMatrix = np.random.default_rng(0).normal(0.0, 2.0, (2000, booster.num_features())).astype(np.float32)
    before, after = (margins_of(each, rows).astype(np.float64) for each in (booster, moved))
    scores = [1.0 / (1.0 + np.exp(-margins)) for margins in (before + offset, after)]
    if not np.abs(scores[0] - scores[1]).max() <= TOLERANCE:
        raise ExportError("moving the base score into the first tree changed the scores")
    return moved
