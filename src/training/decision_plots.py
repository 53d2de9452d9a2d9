"""What decisions cost and whom they hit, as pictures."""

from __future__ import annotations

import numpy as np

from core.decision import Decision
from training.arrays import Floats
from training.canvas import DECLINE, FRAUD, GOOD, GREY, LEGITIMATE, REVIEW, canvas, log_odds, log_odds_axis, png
from training.costs import AssumedCosts
from training.policies import APPROVE_ALL, DECISIONS, Outcome, Rule, Stream, cuts_of

COST_CURVE = "cost-curve.png"
CONFUSION = "confusion.png"

_PER = 1000
"""Transactions that a cost is told for."""


def cost_curve(judged: Stream, rule: Rule, costs: AssumedCosts, outcomes: dict[str, Outcome]) -> bytes:
    """Draw the cost of 1,000 transactions over the threshold, for one action alone and beside the rule.

    Parameters
    ----------
    outcomes : of the chosen rule and of what it is compared with, drawn as levels
    """
    figure, axes = canvas(f"Cost of {_PER:,} transactions ({judged.scored.n_frauds} frauds), by threshold")
    at = np.linspace(float(log_odds(1e-5)) - 0.7, float(log_odds(0.997)) + 0.5, 600)
    thresholds = 1.0 / (1.0 + np.exp(-at))
    all_reviewed: Floats = np.full(len(judged.amounts), costs.review)
    all_declined: Floats = np.where(judged.scored.is_fraud, 0.0, costs.false_decline)
    actions = (("review", all_reviewed, REVIEW, "-"), ("decline", all_declined, DECLINE, "--"))
    for action, row_costs, color, style in actions:
        cost = _PER * _costs_from(judged, thresholds, row_costs, costs)
        axes.plot(at, cost, color=color, linewidth=2, linestyle=style, label=f"{action} from the threshold on")
    for (name, outcome), color, style in zip(
        outcomes.items(), (GOOD, GREY, LEGITIMATE, FRAUD), ("-", ":", "-.", "--"), strict=False
    ):
        level = _PER * outcome.mean_cost.value
        axes.axhline(level, color=color, linewidth=1.6, linestyle=style, label=f"{name}: {level:,.2f}")
    for name, cut, color in zip(("review", "decline"), cuts_of(rule), (REVIEW, DECLINE), strict=False):
        axes.axvline(float(log_odds(cut)), ymax=0.55, color=color, linewidth=1, label=f"chosen: {name} from {cut:.3g}")
    log_odds_axis(axes, "x")
    axes.set_yscale("log")
    nothing, chosen = (_PER * outcomes[name].mean_cost.value for name in (APPROVE_ALL, "chosen"))
    axes.set_ylim(max(chosen, 1e-6) / 2, max(nothing, chosen) * 60)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set(xlabel="threshold on the fraud score", ylabel=f"cost of {_PER:,} transactions, currency of the amounts")
    axes.legend(loc="upper right", framealpha=0.9, edgecolor="none", fontsize=9)
    return png(figure)


def _costs_from(judged: Stream, thresholds: Floats, flagged_cost: Floats, costs: AssumedCosts) -> Floats:
    """Return the mean cost of flagging from each threshold on, at `flagged_cost` a row, and approving the rest."""
    scored = judged.scored
    missed = costs.missed_fraud(judged.amounts) * scored.is_fraud
    # Best score first: the sum over the first k rows is the cost of flagging k of them.
    change = np.concatenate([[0.0], np.cumsum(scored.weights * (flagged_cost - missed))])
    n_flagged = np.searchsorted(-scored.scores, -thresholds, side="right")
    return np.asarray((scored.weights @ missed + change[n_flagged]) / scored.weights.sum())


def confusion(outcome: Outcome) -> bytes:
    """Draw how many rows of each class were decided how, and which share of the class that is."""
    counts = np.array([[each[name] for name in DECISIONS] for each in (outcome.n_legitimate, outcome.n_frauds)])
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    figure, axes = canvas("Decisions by class, in rows", (7.2, 3.4))
    axes.grid(visible=False)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for row, column in np.ndindex(counts.shape):
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{counts[row, column]:,}\n{share:.2%} of the class",
            ha="center",
            va="center",
            fontsize=12,
            color="white" if share > 0.6 else "black",
        )
    titles: dict[Decision, str] = {"approve": "approved", "review": "sent to review", "decline": "declined"}
    axes.set_xticks(range(3), [titles[each] for each in DECISIONS])
    axes.set_yticks(range(2), [f"legitimate\n{counts[0].sum():,} rows", f"fraud\n{counts[1].sum():,} rows"])
    axes.tick_params(length=0)
    return png(figure)
