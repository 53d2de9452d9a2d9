"""`Thresholds`: from which probability on which decision."""

from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from core.decision import Thresholds

THRESHOLDS = Thresholds(review=0.2, decline=0.7)


@pytest.mark.parametrize(
    ("probability", "decision"),
    [
        (0.0, "approve"),
        (math.nextafter(0.2, 0), "approve"),
        (0.2, "review"),
        (math.nextafter(0.7, 0), "review"),
        (0.7, "decline"),
        (1.0, "decline"),
    ],
)
def test_decide_each_side_of_each_threshold(probability: float, decision: str) -> None:
    assert THRESHOLDS.decide(probability) == decision


def test_decide_equal_thresholds_never_review() -> None:
    thresholds = Thresholds(review=0.5, decline=0.5)

    assert [thresholds.decide(p) for p in (0.49, 0.5, 0.51)] == ["approve", "decline", "decline"]


@pytest.mark.parametrize(
    ("review", "decline"), [(0.7, 0.2), (0.0, 0.5), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.5), ("0.1", 0.5)]
)
def test_thresholds_that_make_no_sense_are_refused(review: object, decline: object) -> None:
    with pytest.raises(ValidationError):
        Thresholds.model_validate({"review": review, "decline": decline})
