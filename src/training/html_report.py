"""The report of an evaluation as one HTML page that loads nothing: styles inline, pictures embedded."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training import breakdown_plots
from training.breakdown import Group
from training.decisions import operating_points
from training.evaluation import Evaluation
from training.figures import cost_text, figure_rows
from training.policies import APPROVE_ALL, rule_in_words

_TEMPLATE = "report.html.j2"


def html_report(evaluation: Evaluation, pictures: dict[str, bytes]) -> str:
    """Return the page."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        # Names of fields come from the user's data.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_TEMPLATE).render(_context(evaluation, pictures))


def _context(evaluation: Evaluation, pictures: dict[str, bytes]) -> dict[str, Any]:
    manifest, scored = evaluation.bundle.manifest, evaluation.stream.scored
    return {
        "name": manifest.name,
        "version": manifest.version,
        "digest": evaluation.bundle.digest,
        "notice": manifest.training.get("notice", ""),
        "rows": evaluation.rows,
        "n_frauds": scored.n_frauds,
        "n_legitimate": scored.n_legitimate,
        "n_resamples": evaluation.n_resamples,
        "prevalence": manifest.prevalence,
        "figures": figure_rows(evaluation.metrics),
        "rule": rule_in_words(evaluation.rule),
        "costs": evaluation.costs,
        "points": operating_points(evaluation.rule, evaluation.stream),
        "outcomes": _outcome_rows(evaluation),
        "groups": {"amount": _group_rows(evaluation.amounts), "hour": _group_rows(evaluation.hours)},
        "importances": evaluation.importances,
        "mistakes": evaluation.mistakes,
        "pictures": {
            name.removesuffix(".png").replace("-", "_"): "data:image/png;base64," + base64.b64encode(content).decode()
            for name, content in pictures.items()
        },
        "has_hours": breakdown_plots.BY_HOUR in pictures,
    }


def _outcome_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    nothing = evaluation.outcomes[APPROVE_ALL].mean_cost.value
    rows = []
    for name, outcome in evaluation.outcomes.items():
        cost, cost_interval = cost_text(outcome.mean_cost)
        rows.append(
            {
                "name": name,
                "cost": cost,
                "interval": cost_interval,
                "saved": 1.0 - outcome.mean_cost.value / nothing if nothing else 0.0,
                "outcome": outcome,
                "stopped": outcome.n_frauds["review"] + outcome.n_frauds["decline"],
                "alarms": outcome.n_legitimate["review"] + outcome.n_legitimate["decline"],
            }
        )
    return rows


def _group_rows(groups: list[Group]) -> list[dict[str, Any]]:
    return [
        {
            "group": each,
            "value": "" if each.average_precision is None else f"{each.average_precision.value:.3f}",
            "interval": ""
            if each.average_precision is None
            else f"{each.average_precision.low:.3f} to {each.average_precision.high:.3f}",
        }
        for each in groups
    ]
