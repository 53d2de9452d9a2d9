"""The part of the model card that says how the model was made."""

from __future__ import annotations

from typing import Any


def training_section(manifest: dict[str, Any]) -> str:
    """Return what was done to the rows, and what was grown on them."""
    training = manifest["training"]
    proof = training["export_proof"]
    return f"""## How it was made

- {_HOW_SPLIT[training["split"]["by"]]}; seed {training["seed"]} for the
  split, the trees and the bootstrap. One seed, not the best of several.
{_grown(manifest)}
- The ONNX model gave the booster's margin on {proof["n_rows"]:,} rows, at and around every split, with a largest
  difference of {proof["max_margin_difference"]:.2g}.
- The golden cases are simulated transactions.
"""


def _grown(manifest: dict[str, Any]) -> str:
    training, factor = manifest["training"], manifest["calibration"]["odds_factor"]
    booster, files = training["booster"], training["imported"]
    if files:
        digests = ", ".join(f"{role} `{digest[:16]}…`" for role, digest in files.items())
        return f"""- Booster and scaling were made elsewhere and imported ({digests}).
  Nobody here knows which rows they were fitted on: if the holdout is among them, its figures flatter.
- The odds of every score are multiplied by {factor:.4g}, so that the mean probability of the validation rows is the
  prevalence."""
    steps = _steps_taken(training)
    return f"""- Features standardised with the mean and standard deviation of the training rows.{steps}
- XGBoost {manifest["libraries"]["xgboost"]}, depth {booster["max_depth"]}, learning rate {booster["eta"]:g}, stopped by
  weighted average precision on the validation rows, cut to the best round.
{_rows_count(training)} Fraud is more frequent among the training rows than in the world; the odds of every score are
  multiplied by {factor:.4f} to undo that."""


def _rows_count(training: dict[str, Any]) -> str:
    weight = training.get("columns", {}).get("weight")
    if weight is None:
        return "- No class weights."
    return f"- No class weights; within its class, a row counts by its `{weight}`."


_HOW_SPLIT = {
    "random": "Split at random 60 / 20 / 20 into training, validation and holdout, stratified by label and by how hard "
    "a\n  simple model finds a row, so that no part is hard or easy by chance",
    "out-of-time": "Split by time 60 / 20 / 20: training rows first, then validation, then the holdout",
}
_STEPS = {
    "log_amounts": "signed logarithm of the amount",
    "clip": "features clipped to the range of the training rows",
    "missing_below": "a value below all others for a missing one, in place of the median",
    "time_of_day": "sine and cosine of the time of day",
    "raw_time": "the time itself",
}


def _steps_taken(training: dict[str, Any]) -> str:
    taken = [_STEPS[name] for name, chosen in training["preprocessing"]["chosen"].items() if chosen]
    return f" Besides: {', '.join(taken)}." if taken else ""


def preprocessing_section(manifest: dict[str, Any]) -> str:
    """Return what was tried; nothing, if nothing was."""
    tried = manifest["training"]["preprocessing"]
    if not tried["trials"]:
        return ""
    rows = "\n".join(
        f"| {_STEPS[each['name']]} | {each['average_precision']:.4f} | {each['gain']:+.4f} | {each['noise']:.4f} | "
        f"{each['verdict']} |"
        for each in tried["trials"]
    )
    raw_time = next((each for each in tried["trials"] if each["name"] == "raw_time"), None)
    refused = (
        ""
        if raw_time is None
        else f"""
The raw time would have seemed to change average precision by {raw_time["gain"]:+.4f}, and is refused whatever it seems
to gain: rows split at random lie between training rows in time, so that such a model knows when frauds came in waves.
Of a transaction after the last training row it knows nothing."""
    )
    return f"""## Steps that were tried

Each on top of those taken before it, by average precision over folds of the {tried["rows"]}. A step is taken if it
gains more than the noise: {tried["standard_errors"]:g} standard errors over the folds, and at least
{tried["least_gain"]:g}. Without any of them: {tried["simplest"]:.4f}.

| step | average precision | gain | noise | |
|---|--:|--:|--:|---|
{rows}
{refused}
"""
