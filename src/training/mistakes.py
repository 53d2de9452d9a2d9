"""The worst mistakes of a rule, with the reasons of their scores."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np

from core.bundle import Bundle
from core.explanation import Reason
from core.scoring.embedded import EmbeddedScorer
from core.service import ScoringService
from core.transactions import Transactions
from training.arrays import Rows
from training.data import Table
from training.policies import Rule, Stream, flagged

N_SHOWN = 10


@dataclass(frozen=True)
class Mistake:
    """A row that was decided against its label."""

    row: int
    """Number of the row among the distinct rows of the data, from 1."""
    amount: float
    fraud_score: float
    decision: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Mistakes:
    """The legitimate rows with the highest scores that were flagged, and the frauds with the lowest that were not."""

    false_alarms: list[Mistake]
    misses: list[Mistake]


def worst_mistakes(bundle: Bundle, stream: Stream, rule: Rule, whole: Table) -> Mistakes | None:
    """Return the worst mistakes, or None if the bundle cannot explain.

    Parameters
    ----------
    whole : the table that the rows of `stream` come from, by which they are numbered
    """
    service = ScoringService(bundle, EmbeddedScorer(bundle))
    if service.explainer is None:
        return None
    is_flagged = flagged(stream.decisions(rule), "review")
    # Rows are in the order of their scores, the highest first.
    alarms = np.flatnonzero(is_flagged & ~stream.scored.is_fraud)[:N_SHOWN]
    misses = np.flatnonzero(~is_flagged & stream.scored.is_fraud)[::-1][:N_SHOWN]
    return Mistakes(*(_explained(service, stream, rows, whole) for rows in (alarms, misses)))


def _explained(service: ScoringService, stream: Stream, rows: Rows, whole: Table) -> list[Mistake]:
    if service.explainer is None or not len(rows):
        return []
    values = stream.values[rows]
    predictions = asyncio.run(service.explain_many(Transactions([None] * len(rows), values), service.explainer))
    numbers = {whole.values[number].tobytes(): number + 1 for number in range(len(whole))}
    return [
        Mistake(
            numbers[row.tobytes()], float(amount), prediction.fraud_score, prediction.decision, prediction.reasons or ()
        )
        for row, amount, prediction in zip(values, stream.amounts[rows], predictions, strict=True)
    ]
