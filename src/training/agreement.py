"""How far the reasons of a bundle agree with XGBoost's own Shapley values of its trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xgboost as xgb

from core.bundle import BOOSTER, Bundle
from core.explanation import Explainer, Impacts
from core.preprocessing import FieldValues
from training.arrays import Rows
from training.train import raw_scores_of

N_TOP = 3


@dataclass(frozen=True)
class Agreement:
    """Over a number of transactions, how often both name the same fields."""

    n_transactions: int
    top_1: float
    """Share of the transactions whose strongest field is the same."""
    top_3: float
    """Mean share of the three strongest fields that are the same."""
    rows: int
    """Rows that are scored for one explanation."""


def tree_shap(bundle: Bundle, values: FieldValues) -> Impacts:
    """Return the TreeSHAP values of each field, summed over the features made of it, shape (n, n_fields).

    Lundberg et al., "From local explanations to global understanding with explainable AI for trees", Nature Machine
    Intelligence 2, 2020: the path-dependent form, which is XGBoost's `pred_contribs`, in log-odds of the raw score.
    """
    booster = _booster(bundle)
    contributions = booster.predict(xgb.DMatrix(bundle.preprocessor.transform(values), nthread=1), pred_contribs=True)
    impacts = np.zeros(values.shape)
    for column, feature in zip(contributions.T, bundle.manifest.features, strict=False):  # the last one is the bias
        impacts[:, bundle.field_names.index(feature.field)] += column
    return impacts


def sampled(bundle: Bundle, explainer: Explainer, values: FieldValues) -> Impacts:
    """Return the impacts that the API would answer with, all of them, shape (n, n_fields)."""
    rows = bundle.preprocessor.transform(explainer.derive(values))
    return explainer.impacts(raw_scores_of(_booster(bundle), rows))


def agreement(bundle: Bundle, explainer: Explainer, values: FieldValues) -> Agreement:
    """Compare both on the transactions `values`, shape (n, n_fields)."""
    ours, theirs = sampled(bundle, explainer, values), tree_shap(bundle, values)
    n_top = min(N_TOP, values.shape[1])
    pairs = list(zip(_strongest(ours, n_top), _strongest(theirs, n_top), strict=True))
    return Agreement(
        n_transactions=len(values),
        top_1=float(np.mean([our[0] == their[0] for our, their in pairs])),
        top_3=float(np.mean([len(set(our) & set(their)) / n_top for our, their in pairs])),
        rows=explainer.n_rows(1),
    )


def _strongest(impacts: Impacts, n: int) -> list[list[int]]:
    order: Rows = np.argsort(-np.abs(impacts), axis=1, kind="stable")[:, :n]
    strongest: list[list[int]] = order.tolist()
    return strongest


def _booster(bundle: Bundle) -> xgb.Booster:
    booster = xgb.Booster()
    booster.load_model(bytearray(bundle.files[BOOSTER]))
    return booster
