"""The one worker function of every engine: the rows of a chunk in, what the result says of each of them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.decision import Decision
from core.jobs.rows import Rows
from core.service import Prediction, ScoringService
from core.transactions import Transactions

SCORED = "scored"
ROWS_PER_CALL = 5000
"""Of a chunk, so many go to the scorer at a time: what a large request of `/predict/batch` has."""


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """Columns of the result, one entry for each row of the chunk, in order."""

    carried: Mapping[str, Sequence[object]]
    fraud_scores: list[float | None]
    """Calibrated probabilities; None where a row was rejected."""
    decisions: list[Decision | None]
    model_version: str
    statuses: list[str]
    """`scored`, or the code of the fault for which the row was rejected."""
    n_scored: int

    @property
    def n_rows(self) -> int:
        return len(self.statuses)

    @property
    def n_rejected(self) -> int:
        return self.n_rows - self.n_scored


async def score_chunk(rows: Rows, service: ScoringService) -> ScoredChunk:
    """Score the rows that can be scored; the others keep their place and say why.

    Raises
    ------
    ScorerError
        There is no score for at least one row: nothing of the chunk is a result, and it may be tried again.
    """
    predictions = iter(await _predict(rows.transactions, service))
    fraud_scores: list[float | None] = []
    decisions: list[Decision | None] = []
    for fault in rows.faults:
        prediction = next(predictions) if fault is None else None
        fraud_scores.append(None if prediction is None else prediction.fraud_score)
        decisions.append(None if prediction is None else prediction.decision)
    return ScoredChunk(
        carried=rows.carried,
        fraud_scores=fraud_scores,
        decisions=decisions,
        model_version=service.bundle.version,
        statuses=[fault or SCORED for fault in rows.faults],
        n_scored=len(rows.transactions.ids),
    )


async def _predict(transactions: Transactions, service: ScoringService) -> list[Prediction]:
    predictions: list[Prediction] = []
    for start in range(0, len(transactions.ids), ROWS_PER_CALL):
        part = slice(start, start + ROWS_PER_CALL)
        predictions += await service.score_many(Transactions(transactions.ids[part], transactions.values[part]))
    return predictions
