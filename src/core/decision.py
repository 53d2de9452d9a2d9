"""Probability of fraud -> what to do with the transaction, by the rule in the bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

Decision = Literal["approve", "review", "decline"]

_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
_MAX_COST = 1e9
Cost = Annotated[float, Field(ge=0, le=_MAX_COST)]
"""In the currency of the amounts."""
PositiveCost = Annotated[float, Field(gt=0, le=_MAX_COST)]


class Thresholds(BaseModel):
    """Two cuts on the probability of fraud, chosen by cost on validation data."""

    model_config = _STRICT

    kind: Literal["cuts"] = "cuts"
    review: Annotated[float, Field(gt=0, le=1)]
    decline: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _review_comes_first(self) -> Thresholds:
        if self.review > self.decline:
            raise ValueError("thresholds.review must not exceed thresholds.decline")
        return self

    def decide(self, probability: float) -> Decision:
        """Return `decline` from the decline threshold on, else `review` from the review threshold on."""
        return self.decide_many((probability,))[0]

    def decide_many(self, probabilities: Iterable[float]) -> list[Decision]:
        """Return one decision for each probability, in order."""
        review, decline = self.review, self.decline
        return ["decline" if p >= decline else "review" if p >= review else "approve" for p in probabilities]


class ExpectedLoss(BaseModel):
    """What each mistake costs: the decision is the one with the least expected loss for this very amount."""

    model_config = _STRICT

    kind: Literal["expected_loss"]
    amount_field: Annotated[str, Field(min_length=1, max_length=64)]
    """The field of the transaction that holds its amount."""
    loss_share: Annotated[float, Field(ge=0, le=10)]
    """Share of the amount that is lost with an approved fraud."""
    chargeback_fee: Cost
    """Lost with an approved fraud, whatever its amount."""
    false_decline: PositiveCost
    """A legitimate transaction declined."""
    review: PositiveCost
    """One review, which is assumed to find the truth."""
    review_shadow_price: Cost = 0.0
    """Added to `review` so that reviews stay within the capacity; 0 where capacity is ample."""

    @model_validator(mode="after")
    def _a_fraud_costs_something(self) -> ExpectedLoss:
        if self.loss_share + self.chargeback_fee <= 0.0:
            raise ValueError("an approved fraud must cost something: loss_share or chargeback_fee")
        return self

    def decide(self, probability: float, amount: float) -> Decision:
        """Return the decision with the least expected loss; of equal ones the strictest."""
        approve = probability * (self.loss_share * amount + self.chargeback_fee)
        review = self.review + self.review_shadow_price
        decline = (1.0 - probability) * self.false_decline
        if decline <= review and decline <= approve:
            return "decline"
        return "review" if review <= approve else "approve"


def _kind_of(rule: Any) -> Any:  # noqa: ANN401 - whatever the document holds
    """Bundles of before there was a choice name no kind."""
    return rule.get("kind", "cuts") if isinstance(rule, dict) else getattr(rule, "kind", None)


DecisionRule = Annotated[
    Annotated[Thresholds, Tag("cuts")] | Annotated[ExpectedLoss, Tag("expected_loss")], Discriminator(_kind_of)
]


class Decider:
    """The rule of a bundle, joined to the columns of its transactions."""

    def __init__(self, rule: Thresholds | ExpectedLoss, field_names: Sequence[str]) -> None:
        self._rule = rule
        self._amount_column = field_names.index(rule.amount_field) if isinstance(rule, ExpectedLoss) else -1

    def decide(self, probabilities: Sequence[float], values: npt.NDArray[np.float64]) -> list[Decision]:
        """Return one decision for each transaction, in order.

        Parameters
        ----------
        probabilities : calibrated, one for each transaction
        values : field values as posted, shape (n_transactions, n_fields)
        """
        if isinstance(self._rule, ExpectedLoss):
            amounts = values[:, self._amount_column].tolist()
            return list(map(self._rule.decide, probabilities, amounts))
        return self._rule.decide_many(probabilities)
