"""The one worker function of every engine: the rows of a chunk in, what the result says of each of them out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pydantic_core import to_json

from core.decision import Decision
from core.errors import JobFailedError
from core.explanation import NO_BASELINE, NO_REASONS
from core.jobs.records import result_columns
from core.jobs.rows import Rows
from core.service import Predictions, ScoringService
from core.transactions import Transactions

SCORED = "scored"
ROWS_PER_CALL = 5000
"""Of a chunk, so many go to the scorer at a time: what a large request of `/predict/batch` has."""
EXPLAINED_PER_CALL = 50
"""With reasons, so many: hundreds of rows are derived of each, and are in memory together."""

_T = TypeVar("_T")
Ask = Callable[[Transactions], Awaitable[Predictions]]
ReasonsOfRow = list[dict[str, Any]]
"""As `/predict` gives them."""


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
    reasons: list[ReasonsOfRow | None] | None = None
    """None: the job does not ask; None for a row: it was rejected."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the result's columns, in order."""
        return result_columns(tuple(self.carried), reasons=self.reasons is not None)

    def added(self, *, as_text: bool) -> list[Sequence[object]]:
        """Return the columns beside those that are carried, in order; `as_text`, reasons are compact JSON."""
        columns: list[Sequence[object]] = [
            self.fraud_scores, self.decisions, [self.model_version] * self.n_rows, self.statuses,
        ]  # fmt: skip
        if self.reasons is not None:
            columns.append(list(map(_text, self.reasons)) if as_text else self.reasons)
        return columns

    @property
    def n_rows(self) -> int:
        return len(self.statuses)

    @property
    def n_rejected(self) -> int:
        return self.n_rows - self.n_scored


async def score_chunk(rows: Rows, service: ScoringService, *, reasons: bool = False) -> ScoredChunk:
    """Score the rows that can be scored; the others keep their place and say why.

    Raises
    ------
    JobFailedError
        The model cannot give the reasons that are asked for.
    ScorerError
        There is no score for at least one row: nothing of the chunk is a result, and it may be tried again.
    """
    ask, n_rows = _explain(service) if reasons else (service.score, ROWS_PER_CALL)
    transactions, faults = rows.transactions, rows.faults
    fraud_scores: list[float] = []
    decisions: list[Decision] = []
    whys: list[ReasonsOfRow] = []
    for start in range(0, len(transactions.ids), n_rows):
        part = slice(start, start + n_rows)
        predictions = await ask(Transactions(transactions.ids[part], transactions.values[part]))
        fraud_scores += predictions.fraud_scores
        decisions += predictions.decisions
        whys += [[reason.as_dict() for reason in why] for why in predictions.reasons or ()]
    return ScoredChunk(
        carried=rows.carried,
        fraud_scores=_between_faults(fraud_scores, faults),
        decisions=_between_faults(decisions, faults),
        model_version=service.bundle.version,
        statuses=[fault or SCORED for fault in faults],
        n_scored=len(transactions.ids),
        reasons=_between_faults(whys, faults) if reasons else None,
    )


def _between_faults(values: Iterable[_T], faults: Sequence[str | None]) -> list[_T | None]:
    """Return the values of the rows without a fault, in order, with None in the places of the others."""
    left = iter(values)
    return [next(left) if fault is None else None for fault in faults]


def _explain(service: ScoringService) -> tuple[Ask, int]:
    if service.explainer is None:
        raise JobFailedError(NO_REASONS, NO_BASELINE)
    return partial(service.explain, explainer=service.explainer), EXPLAINED_PER_CALL


def _text(why: ReasonsOfRow | None) -> str | None:
    return None if why is None else to_json(why).decode()
