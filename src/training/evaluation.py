"""Everything that can be said of a bundle on some rows: figures, decisions, groups, importance, mistakes, pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from core.bundle import Bundle
from core.manifest import Metric
from training import breakdown_plots, decision_plots, plots
from training.breakdown import Group, Importance, by_amount, by_hour, importances
from training.costs import AssumedCosts
from training.data import DataFile, Table
from training.evaluate import N_RESAMPLES, evaluate
from training.known_rows import completed, own_split, stream_of
from training.mistakes import Mistakes, worst_mistakes
from training.policies import Outcome, Rule, Stream, compare, standard_rules
from training.schema import TableSchema

HOLDOUT = "the holdout of the bundle's own training: rows that took no part in fitting or in any choice"
SEEN = "all rows given, which are those of the bundle's training: rows the model has seen, so that figures flatter it"
UNKNOWN = "all rows given: rows the model may have seen"

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True)
class ChosenRows:
    """The rows that are evaluated."""

    table: Table
    described: str


@dataclass(frozen=True)
class Evaluation:
    """A bundle judged on some rows."""

    bundle: Bundle
    rows: str
    """Which rows, in words."""
    stream: Stream
    n_resamples: int
    metrics: dict[str, Metric]
    costs: AssumedCosts
    outcomes: dict[str, Outcome]
    hours: list[Group]
    """Empty: no field is known to hold the time."""
    amounts: list[Group]
    importances: list[Importance]
    mistakes: Mistakes | None
    """None: the bundle cannot explain."""

    @property
    def rule(self) -> Rule:
        return self.bundle.manifest.thresholds


def choose_rows(bundle: Bundle, data: DataFile, schema: TableSchema, *, every_row: bool) -> ChosenRows:
    """Return the holdout of the bundle's own training, if `data` are its rows, else all of them."""
    split = own_split(bundle, data, schema)
    if split is None:
        return ChosenRows(completed(bundle, data.table), UNKNOWN)
    return ChosenRows(completed(bundle, data.table), SEEN) if every_row else ChosenRows(split.holdout, HOLDOUT)


def evaluate_bundle(
    bundle: Bundle,
    data: DataFile,
    schema: TableSchema,
    seed: int,
    *,
    every_row: bool = False,
    n_resamples: int = N_RESAMPLES,
    on_progress: OnProgress = lambda _step, _share: None,
) -> Evaluation:
    """Judge `bundle` on rows of `data`, weighted to the prevalence in its manifest."""
    chosen = choose_rows(bundle, data, schema, every_row=every_row)
    on_progress("scores", 0.0)
    stream = stream_of(bundle, chosen.table, schema, bundle.manifest.prevalence)
    on_progress("scores", 1.0)
    costs, rules = costs_of(bundle), standard_rules(bundle.manifest.thresholds)
    return Evaluation(
        bundle=bundle,
        rows=chosen.described,
        stream=stream,
        n_resamples=n_resamples,
        metrics=evaluate(stream.scored, seed, n_resamples, partial(on_progress, "intervals")),
        costs=costs,
        outcomes=compare(stream, rules, costs, seed, n_resamples, partial(on_progress, "decisions")),
        hours=by_hour(stream, seed, n_resamples),
        amounts=by_amount(stream, seed, n_resamples),
        importances=importances(bundle, stream, seed, partial(on_progress, "importance")),
        mistakes=worst_mistakes(bundle, stream, bundle.manifest.thresholds, completed(bundle, data.table)),
    )


def costs_of(bundle: Bundle) -> AssumedCosts:
    """Return the costs that the rule of the bundle was chosen by, or the default ones."""
    recorded = bundle.manifest.training.get("decisions", {}).get("costs", {})
    return AssumedCosts(**{name: recorded[name] for name in AssumedCosts.__dataclass_fields__ if name in recorded})


def draw(evaluation: Evaluation, seed: int) -> dict[str, bytes]:
    """Return file name -> PNG of every picture of the report."""
    stream, rule, scored = evaluation.stream, evaluation.rule, evaluation.stream.scored
    pictures = {
        plots.PRECISION_RECALL: plots.precision_recall(stream, rule, seed),
        plots.ROC: plots.roc(scored),
        plots.CALIBRATION: plots.calibration(scored, seed),
        plots.SCORE_DISTRIBUTION: plots.score_distribution(scored, rule),
        decision_plots.COST_CURVE: decision_plots.cost_curve(stream, rule, evaluation.costs, evaluation.outcomes),
        decision_plots.CONFUSION: decision_plots.confusion(evaluation.outcomes["chosen"]),
        breakdown_plots.BY_AMOUNT: breakdown_plots.groups(
            evaluation.amounts, "Average precision by amount", "amount, in the currency of the data"
        ),
        breakdown_plots.IMPORTANCE: breakdown_plots.importance(evaluation.importances),
    }
    if evaluation.hours:
        start = "midnight" if stream.schema.time.starts_at_midnight else "the zero of the time column, days cut off"
        axis = f"hours from {start}"
        pictures[breakdown_plots.BY_HOUR] = breakdown_plots.groups(evaluation.hours, "Average precision by hour", axis)
    return pictures
