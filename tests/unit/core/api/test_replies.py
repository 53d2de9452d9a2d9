"""How predictions are written."""

from __future__ import annotations

import json

import pytest

from core.api.replies import predictions_reply
from core.service import Predictions

AWKWARD = ['"', "\\", ",", '",', '","', "\n", ",\n", '\n"', "\u2028", "ä", "", "null", None]


@pytest.mark.parametrize("ids", [AWKWARD, AWKWARD[::-1], [AWKWARD[0]], [None], [None, None]])
def test_each_prediction_of_a_batch_comes_back_with_its_own_id_score_and_decision(ids: list[str | None]) -> None:
    scores = [1 / (n + 3) for n in range(len(ids))]
    predictions = Predictions(ids, scores, ["review", *["approve"] * (len(ids) - 1)], None)

    body = json.loads(predictions_reply(predictions, "v").body)

    rows = [(each["transaction_id"], each["fraud_score"], each["decision"]) for each in body["predictions"]]
    assert rows == list(zip(ids, scores, predictions.decisions, strict=True))
    assert body["model_version"] == "v"
