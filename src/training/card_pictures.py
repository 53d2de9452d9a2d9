"""The pictures of the model card, drawn alike by training and by every later choice of a rule."""

from __future__ import annotations

from collections.abc import Mapping

from training import decision_plots, plots
from training.costs import AssumedCosts
from training.evaluate import Scored
from training.policies import Rule, Stream, compare, standard_rules


def card_pictures(
    judged: Stream,
    rule: Rule,
    costs: AssumedCosts,
    seed: int,
    chosen_on: Scored | None = None,
    others: Mapping[str, Rule] | None = None,
) -> dict[str, bytes]:
    """Return file name -> PNG.

    Parameters
    ----------
    judged : rows that the model and the rule have not seen, where there are such
    chosen_on : the rows that the rule was chosen on, drawn for comparison
    others : rules that could have been chosen instead, by name
    """
    outcomes = compare(judged, {**standard_rules(rule), **(others or {})}, costs, seed)
    return {
        plots.PRECISION_RECALL: plots.precision_recall(judged, rule, seed, chosen_on),
        plots.CALIBRATION: plots.calibration(judged.scored, seed),
        plots.SCORE_DISTRIBUTION: plots.score_distribution(judged.scored, rule),
        decision_plots.COST_CURVE: decision_plots.cost_curve(judged, rule, costs, outcomes),
    }
