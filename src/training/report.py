"""The model card, written from the manifest alone."""

from __future__ import annotations

import textwrap
from typing import Any

from pydantic import TypeAdapter

from core.decision import DecisionRule, ExpectedLoss
from training.card_reference import reference_section
from training.card_training import preprocessing_section, training_section
from training.decision_plots import COST_CURVE
from training.figures import FIGURES
from training.plots import CALIBRATION, PRECISION_RECALL, SCORE_DISTRIBUTION
from training.policies import Rule, rule_in_words

_WIDTH = 118


def model_card(manifest: dict[str, Any]) -> str:
    """Return `MODEL_CARD.md`."""
    sections = (
        _head,
        _intended_use,
        _figures_section,
        _decisions,
        _data,
        training_section,
        preprocessing_section,
        _limits,
    )
    return (
        "\n\n".join(
            _wrapped(block) for section in sections for block in section(manifest).split("\n\n") if block.strip()
        )
        + "\n"
    )


def _wrapped(block: str) -> str:
    """Break the lines of a paragraph anew; tables, lists, headings and pictures stay as they are."""
    block = block.strip("\n")
    return block if block.startswith(("|", "-", "#", "!")) else textwrap.fill(block, _WIDTH, break_on_hyphens=False)


def _head(manifest: dict[str, Any]) -> str:
    return f"""# Model card: {manifest["name"]}

Version `{manifest["version"]}`. {manifest["training"]["booster"]["n_trees"]} gradient-boosted trees that turn one
card transaction into `fraud_score`, a probability of fraud at a prevalence of {manifest["prevalence"]:.4%}, and into a
decision.

This page was generated from `manifest.json` by `python -m training`.
"""


def _intended_use(manifest: dict[str, Any]) -> str:
    required = [each["name"] for each in manifest["fields"]]
    unused = sorted(set(required) - {each["field"] for each in manifest["features"]}, key=required.index)
    kept_out = f" Required but not seen by the model: {', '.join(f'`{name}`' for name in unused)}." if unused else ""
    return f"""## Intended use

Scoring single card transactions at the time of authorisation, one by one or in batches, to approve, review or decline
them. A caller sends {len(required)} fields; the model sees {len(manifest["features"])} features.{kept_out}

Not intended for: judging people, credit decisions, or traffic whose features were not made exactly as those of the
training data.
"""


def _figures_section(manifest: dict[str, Any]) -> str:
    holdout = manifest["holdout"]
    lines = []
    for name, (title, form) in FIGURES.items():
        value, low, high = (format(holdout["metrics"][name][key], form) for key in ("value", "low", "high"))
        on_validation = format(manifest["training"]["validation_metrics"][name], form)
        lines.append(f"| {title} | {value} | {low} to {high} | {on_validation} |")
    table = "\n".join(lines)
    return f"""## How good it is

On a holdout of {holdout["n_frauds"]} frauds and {holdout["n_legitimate"]:,} uniformly sampled legitimate transactions
that took no part in fitting, stopping, calibration or the choice of thresholds. Every figure is weighted so that
frauds have the share {manifest["prevalence"]:.4%}. Intervals: 95 % from 1,000 stratified bootstrap resamples. The
validation column shows rows that did take part in choices.

| figure | holdout | 95 % interval | validation |
|---|--:|--:|--:|
{table}
{reference_section(manifest)}
Each fifth of the rows as the holdout in turn, with the same training on the others; the first is the holdout above.
The other four took part in the choice of the default parameters of the trees, if these are the data of that choice.

| holdout | frauds | average precision | ROC AUC | best F1 | recall at 90 % precision |
|---|--:|--:|--:|--:|--:|
{_fold_rows(manifest["training"]["cross_validation"])}

![Precision against recall]({PRECISION_RECALL})

![Fraud score against observed share of frauds]({CALIBRATION})

![Distribution of fraud scores by class]({SCORE_DISTRIBUTION})

![Cost over the threshold]({COST_CURVE})
"""


def _fold_rows(cross_validation: dict[str, Any]) -> str:
    names = ("average_precision", "roc_auc", "best_f1", "recall_at_90_precision")
    folds = [(str(number), fold) for number, fold in enumerate(cross_validation["folds"], start=1)]
    rows = [*folds, ("mean", {"n_frauds": sum(fold["n_frauds"] for _, fold in folds), **cross_validation["means"]})]
    return "\n".join(
        f"| {title} | {fold['n_frauds']} | {' | '.join(format(fold[name], FIGURES[name][1]) for name in names)} |"
        for title, fold in rows
    )


def _decisions(manifest: dict[str, Any]) -> str:
    decisions, costs = manifest["training"]["decisions"], manifest["training"]["decisions"]["costs"]
    rule = TypeAdapter[Rule](DecisionRule).validate_python(manifest["thresholds"])
    parts = {name: decisions[name] for name in ("validation", "holdout") if name in decisions}
    return f"""## Decisions

{rule_in_words(rule)} {_how_chosen(rule, decisions["capacity"])} The costs are assumptions, in the currency of the
amounts, to be replaced by your own (`python -m training thresholds --help`):

- a fraud that is approved: {costs["loss_share"]:.0%} of its amount and a fee of {costs["chargeback_fee"]:.2f}; the mean
  amount of the training frauds is {costs["mean_fraud_amount"]:.2f};
- a legitimate transaction that is declined: {costs["false_decline"]:.2f};
- a review, assumed to find the truth: {costs["review"]:.2f}.

| rows | flagged | precision | recall | share flagged | frauds | legitimate rows |
|---|---|--:|--:|--:|--:|--:|
{_point_rows(parts)}

What 1,000 transactions cost, with each fraud at its own amount, and 95 % bootstrap intervals:

| rows | rule | cost | 95 % interval | reviewed | declined | frauds stopped |
|---|---|--:|--:|--:|--:|--:|
{_outcome_rows(parts)}
"""


def _how_chosen(rule: Rule, capacity: dict[str, float] | None) -> str:
    within = (
        f" Reviews are limited to {capacity['reviews_per_day']:,.0f} of {capacity['transactions_per_day']:,.0f} "
        "transactions a day."
        if capacity
        else ""
    )
    if isinstance(rule, ExpectedLoss):
        return f"Nothing but the price of scarce reviews was chosen on rows.{within}"
    return (
        "That is the pair with the least cost on the validation rows. Each row counted half by its label and half by "
        "its calibrated probability, because a few dozen frauds alone do not show the rare false alarm; and each fraud "
        f"at the mean amount.{within}"
    )


def _point_rows(parts: dict[str, Any]) -> str:
    return "\n".join(
        f"| {part} | {name} and above | {point['precision']:.3f} | {point['recall']:.3f} | {point['alert_rate']:.3%} | "
        f"{point['n_frauds']} | {point['n_legitimate']} |"
        for part, described in parts.items()
        for name, point in described.items()
        if name in ("review", "decline")
    )


def _outcome_rows(parts: dict[str, Any]) -> str:
    lines = []
    for part, described in parts.items():
        for name, outcome in described["outcomes"].items():
            value, low, high = (f"{1000 * outcome['mean_cost'][key]:,.2f}" for key in ("value", "low", "high"))
            frauds, shares = outcome["n_frauds"], outcome["shares"]
            stopped = f"{frauds['review'] + frauds['decline']} of {sum(frauds.values())}"
            lines.append(
                f"| {part} | {name} | {value} | {low} to {high} | {shares['review']:.3%} | {shares['decline']:.3%} | "
                f"{stopped} |"
            )
    return "\n".join(lines)


def _data(manifest: dict[str, Any]) -> str:
    training = manifest["training"]
    data = training["data"]
    rows = "\n".join(
        f"| {name} | {part['rows']:,} | {part['frauds']} | {part['uniform_legitimate']:,} | `{part['sha256'][:16]}…` |"
        for name, part in training["split"]["parts"].items()
    )
    uniform = (
        "Only the legitimate rows marked `uniform_random`, and all frauds, count in a figure; the other legitimate\n"
        "rows were trained on and nothing else."
        if data["has_uniform_column"]
        else "Every row counts in a figure."
    )
    return f"""## Data

{training["notice"]}

{data["rows"]:,} rows, sha256 `{data["sha256"]}`.
Exact duplicates dropped: {data["exact_duplicates_dropped"]}. Rows whose features equal those of another row stay in
one part ({training["split"]["rows_grouped_with_an_equal_one"]} such copies).
{uniform}

| part | rows | frauds | uniform legitimate | digest |
|---|--:|--:|--:|---|
{rows}
"""


_SPLIT_LIMIT = {
    "random": "Split at random, not by time: fraud changes, and a live stream will be harder than this holdout.",
    "out-of-time": "The holdout follows the training rows at once; fraud changes, and what comes later will be harder.",
}


def _limits(manifest: dict[str, Any]) -> str:
    n_frauds = manifest["holdout"]["n_frauds"]
    return f"""## Limits

{_leaks(manifest["training"]["data"])}- {n_frauds} frauds in the holdout: read the intervals, not the point estimates.
- {_SPLIT_LIMIT[manifest["training"]["split"]["by"]]}
- Labels are what was reported as fraud; what nobody noticed counts as legitimate.
- The thresholds are right for the costs above and a prevalence near {manifest["prevalence"]:.4%}, and for no others.
- Nothing is known of the card holders, so fairness between groups of them cannot be judged.
"""


def _leaks(data: dict[str, Any]) -> str:
    leaks = data.get("allowed_leaks", [])
    if not leaks:
        return ""
    names = ", ".join(f"`{name}`" for name in leaks)
    return f"""- **{names}: tells frauds from the rest by itself**, as a copy of the truth would. Whoever trained the
  model let it in; if it is not known when a transaction is scored, no figure on this page will come true.
"""
