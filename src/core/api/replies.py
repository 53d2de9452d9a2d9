"""The reply of every route that answers with JSON, and how predictions are written in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

from pydantic_core import to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.api.headers import RawHeaders
from core.decision import Decision
from core.service import Prediction, Predictions

_MEDIA_TYPE = (b"content-type", b"application/json")
_ID, _SCORE = b'{"transaction_id":', b',"fraud_score":'
_NO_ID = _ID + b"null" + _SCORE
_DECISIONS = {each: b',"decision":%b},' % to_json(each) for each in get_args(Decision)}


REPLY_AT_ONCE = "fraud_scoring.reply_at_once"
"""Under this a server notes in the scope how a whole reply is sent by one call: as a `ReplyAtOnce`."""
ReplyAtOnce = Callable[[Scope, int, RawHeaders, bytes], bool]
"""Takes the scope itself, status, headers and body; False if nothing is sent, because it takes several steps."""


class JsonReply(Response):
    """`body`, which is JSON, with status 200; its two headers are known, and need no search for what is missing."""

    def __init__(self, body: bytes) -> None:
        self.status_code = 200
        self.body: bytes = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _MEDIA_TYPE]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        at_once: ReplyAtOnce | None = scope.get(REPLY_AT_ONCE)
        if at_once is None or not at_once(scope, 200, self.raw_headers, self.body):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self.body})


def prediction_reply(predictions: Predictions, model_version: str) -> JsonReply:
    """Return the reply to one transaction: the first of `predictions`."""
    body: dict[str, Any] = {
        "transaction_id": predictions.transaction_ids[0],
        "fraud_score": predictions.fraud_scores[0],
        "decision": predictions.decisions[0],
    }
    if predictions.degraded_by is not None:
        body["degraded"] = True
    body["model_version"] = model_version
    if predictions.reasons is not None:
        body["reasons"] = [reason.as_dict() for reason in predictions.reasons[0]]
    return JsonReply(to_json(body))


def predictions_reply(predictions: Predictions, model_version: str) -> JsonReply:
    """Return the reply to a batch."""
    if predictions.degraded_by is None and predictions.reasons is None:
        return JsonReply(b'{"predictions":[%b],"model_version":%b}' % (_list_of(predictions), to_json(model_version)))
    rows = [{**_as_dict(row), **_reasons_of(row)} for row in predictions.rows()]
    return JsonReply(to_json({"predictions": rows, "model_version": model_version}))


def _list_of(predictions: Predictions) -> bytes:
    """Join the texts of all columns: of thousands of rows, each with a dict of its own, a fifth of the time."""
    scores = to_json(predictions.fraud_scores)[1:-1].split(b",")
    decisions = [_DECISIONS[each] for each in predictions.decisions]
    ids, n = predictions.transaction_ids, len(scores)
    if ids.count(None) == n:
        columns = [[_NO_ID] * n, scores, decisions]
    else:
        # A newline within a string would be escaped: those that are left are between the ids.
        columns = [[_ID] * n, to_json(ids, indent=0)[2:-2].split(b",\n"), [_SCORE] * n, scores, decisions]
    parts = [b""] * (n * len(columns))
    for place, column in enumerate(columns):
        parts[place :: len(columns)] = column
    return b"".join(parts)[: -len(b",")]


def _as_dict(prediction: Prediction) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "transaction_id": prediction.transaction_id,
        "fraud_score": prediction.fraud_score,
        "decision": prediction.decision,
    }
    return answer if prediction.degraded_by is None else {**answer, "degraded": True}


def _reasons_of(prediction: Prediction) -> dict[str, Any]:
    return {} if prediction.reasons is None else {"reasons": [reason.as_dict() for reason in prediction.reasons]}
