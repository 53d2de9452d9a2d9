"""Probability of fraud -> what to do with the transaction, by the bundle's two thresholds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Decision = Literal["approve", "review", "decline"]


class Thresholds(BaseModel):
    """Cuts on the probability of fraud, chosen by cost on validation data when the model was trained."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    review: Annotated[float, Field(gt=0, le=1)]
    decline: Annotated[float, Field(gt=0, le=1)]

    @model_validator(mode="after")
    def _review_comes_first(self) -> Thresholds:
        if self.review > self.decline:
            raise ValueError("thresholds.review must not exceed thresholds.decline")
        return self

    def decide(self, probability: float) -> Decision:
        """Return `decline` from the decline threshold on, else `review` from the review threshold on."""
        if probability >= self.decline:
            return "decline"
        return "review" if probability >= self.review else "approve"
