"""`python -m training thresholds`: another rule for a bundle, from what mistakes and reviews cost."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from core.bundle import load_bundle
from training import options
from training.bundle_columns import columns_of
from training.costs import AssumedCosts, Capacity, CostModel
from training.data import open_data
from training.decision_plots import COST_CURVE, cost_curve
from training.documents import write_file
from training.errors import OptionError
from training.known_rows import completed, own_split, stream_of
from training.policies import APPROVE_ALL, Outcome, Stream, rule_in_words
from training.publish import check_target
from training.retune import Kind, Retuned, choose_rule, next_version, publish_retuned
from training.run import DEFAULT_SEED
from training.terminal import OUTPUT, progress

KindOption = Annotated[
    Kind, typer.Option(help="Two cuts on the score, or the least expected loss for the amount of each transaction.")
]
VersionOption = Annotated[
    str | None,
    typer.Option(help="Version of the new bundle. Default: the old one's with -t1, -t2, …", show_default=False),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Where the new bundle goes. Default: it takes the place of BUNDLE.", show_default=False
    ),
]
CurveOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write the cost curve here, as PNG.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what the rule would cost, and write no bundle.")]


def thresholds(
    bundle: options.BundleArgument,
    data: options.Data,
    kind: KindOption = "cuts",
    loss_share: options.LossShare = AssumedCosts.loss_share,
    chargeback_fee: options.ChargebackFee = AssumedCosts.chargeback_fee,
    false_decline: options.FalseDecline = AssumedCosts.false_decline,
    review: options.ReviewCost = AssumedCosts.review,
    reviews_per_day: options.ReviewsPerDay = None,
    transactions_per_day: options.TransactionsPerDay = None,
    version: VersionOption = None,
    out: OutOption = None,
    curve: CurveOption = None,
    dry_run: DryRun = False,
    seed: options.Seed = DEFAULT_SEED,
) -> None:
    """Choose where BUNDLE reviews and declines, by cost, and write it as a new bundle.

    On the data that the bundle was trained on, the rule is chosen on its validation rows and judged on its holdout;
    of other data every row is used for both.
    """
    costs = _costs(AssumedCosts(chargeback_fee, false_decline, review, loss_share))
    capacity = _capacity(reviews_per_day, transactions_per_day)
    check_target(bundle if out is None else out)
    old = load_bundle(bundle)
    with progress() as on_progress:
        on_progress("data", 0.0)
        data_file, schema = open_data(data, columns_of(old))
        on_progress("data", 1.0)
        split = own_split(old, data_file, schema)
        whole = completed(old, data_file.table)
        score = partial(stream_of, old, schema=schema, prevalence=old.manifest.prevalence)
        chosen_on = score(whole if split is None else split.validation)
        holdout = None if split is None else score(split.holdout)
        model = CostModel.of(whole if split is None else split.train, schema, costs)
        retuned = choose_rule(kind, chosen_on, holdout, model, capacity)
        parts = {
            name: (stream, retuned.outcomes(stream, seed, partial(on_progress, name)))
            for name, stream in retuned.streams().items()
        }
    _show(retuned, parts, transactions_per_day)
    if curve is not None:
        judged, outcomes = parts.get("holdout", parts["validation"])
        write_file(curve, cost_curve(judged, retuned.rule, costs, outcomes))
        OUTPUT.print(f"Cost curve: {curve}", markup=False, soft_wrap=True)
    if dry_run:
        return
    target = bundle if out is None else out
    new = publish_retuned(old, retuned, version or next_version(old.version), target, seed)
    OUTPUT.print(f"Bundle {new.version}: {target} (cost curve: {COST_CURVE})", markup=False, soft_wrap=True)


def _costs(costs: AssumedCosts) -> AssumedCosts:
    for name in ("false_decline", "review"):
        if getattr(costs, name) <= 0.0:
            raise OptionError(f"--{name.replace('_', '-')}: what costs nothing would be done to every transaction")
    if costs.loss_share + costs.chargeback_fee <= 0.0:
        raise OptionError("--loss-share, --chargeback-fee: an approved fraud must cost something")
    return costs


def _capacity(reviews_per_day: float | None, transactions_per_day: float | None) -> Capacity | None:
    if reviews_per_day is None:
        return None
    if transactions_per_day is None:
        raise OptionError("--reviews-per-day needs --transactions-per-day")
    return Capacity(reviews_per_day, transactions_per_day)


def _show(
    retuned: Retuned, parts: dict[str, tuple[Stream, dict[str, Outcome]]], transactions_per_day: float | None
) -> None:
    if retuned.holdout is None:
        OUTPUT.print(
            "These are not the rows that the bundle was trained on, or another version of them: the rule is chosen "
            "and judged on all of them, and looks better than it will be.",
            style="yellow",
            soft_wrap=True,
        )
    per = transactions_per_day or 1000.0
    unit = "a day" if transactions_per_day else "of 1,000 transactions"
    for name, (stream, outcomes) in parts.items():
        rows = f"{stream.scored.n_frauds} frauds, {stream.scored.n_legitimate:,} others"
        OUTPUT.print(_outcome_table(f"Cost {unit} on the {name} rows: {rows}", outcomes, per))
    OUTPUT.print(rule_in_words(retuned.rule), markup=False, highlight=False, soft_wrap=True)


def _outcome_table(title: str, outcomes: dict[str, Outcome], per: float) -> Table:
    """Return a table that fits a terminal of 80 columns; a number cut short would be a wrong one."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("rule", no_wrap=True)
    for heading in ("cost", "95 % interval", "saved", "reviews", "declines", "stopped"):
        table.add_column(heading, justify="right", no_wrap=True)
    nothing = outcomes[APPROVE_ALL].mean_cost.value
    digits = 2 if per <= 1000.0 else 0
    for name, outcome in outcomes.items():
        cost, low, high = (f"{per * getattr(outcome.mean_cost, key):,.{digits}f}" for key in ("value", "low", "high"))
        table.add_row(
            name,
            cost,
            f"{low} to {high}",
            f"{1.0 - outcome.mean_cost.value / nothing:.1%}" if nothing else "",
            f"{per * outcome.shares['review']:,.{digits}f}",
            f"{per * outcome.shares['decline']:,.{digits}f}",
            str(outcome.n_frauds["review"] + outcome.n_frauds["decline"]),
        )
    return table
