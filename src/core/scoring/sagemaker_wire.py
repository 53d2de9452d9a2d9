"""What travels to the endpoint and back: feature rows as CSV, scores as CSV or JSON."""

from __future__ import annotations

import re

import numpy as np

from core.calibration import Scores
from core.errors import MalformedBodyError, ScorerResponseError
from core.json_document import read_json
from core.preprocessing import FeatureMatrix
from core.scoring.base import check_scores

MEDIA_TYPE = "text/csv"
MAX_PAYLOAD_BYTES = 5 << 20
"""SageMaker takes 6 291 456 bytes; its documents ask for less than that from this container."""

_VALUE = "%.9g"
"""Nine significant digits name one float32 exactly, also when they are read as float64 first, as they are there."""
_MAX_VALUE_BYTES = len("-1.17549435e-38,")
_MAX_REPLY_BYTES_PER_SCORE = 128
_NUMBERS = re.compile(rb"[0-9eE+.,\-\s]*")


def max_rows_per_payload(n_features: int) -> int:
    """Return how many rows surely fit into one payload, whatever their values are."""
    return MAX_PAYLOAD_BYTES // (_MAX_VALUE_BYTES * n_features)


def write_payload(features: FeatureMatrix) -> bytes:
    """Return the rows as CSV without a header."""
    line = ",".join([_VALUE] * features.shape[1])
    return "\n".join([line % tuple(row) for row in features.tolist()]).encode("ascii")


def max_reply_bytes(n_rows: int) -> int:
    """Return the size from which on a reply cannot be `n_rows` scores."""
    return _MAX_REPLY_BYTES_PER_SCORE * (n_rows + 8)


def read_reply(body: bytes, n_rows: int) -> Scores:
    """Return the scores of a reply: numbers between commas or newlines, or `{"predictions": [{"score": x}]}`.

    Raises
    ------
    ScorerResponseError
        The reply is anything else than one number in [0, 1] for each row.
    """
    values = _json_scores(body) if body[:1] == b"{" else _csv_scores(body)
    return check_scores(np.array(values, dtype=np.float64), n_rows)


def _csv_scores(body: bytes) -> list[float]:
    if not _NUMBERS.fullmatch(body):  # float() would also take `nan`, `inf` and `1_0`
        raise _unreadable()
    try:
        return [float(value) for value in body.strip().replace(b"\n", b",").split(b",")]
    except ValueError:
        raise _unreadable() from None


def _json_scores(body: bytes) -> list[float]:
    try:
        document = read_json(body)
    except MalformedBodyError:
        raise _unreadable() from None
    predictions = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(predictions, list):
        raise _unreadable()
    return [_score_of(prediction) for prediction in predictions]


def _score_of(prediction: object) -> float:
    score = prediction.get("score") if isinstance(prediction, dict) else None
    if isinstance(score, bool) or not isinstance(score, (int, float)):
        raise _unreadable()
    return float(score) if abs(score) <= 1 else np.inf  # an integer may be too large for a float


def _unreadable() -> ScorerResponseError:
    return ScorerResponseError("The scorer's answer cannot be read as scores.")
