"""What the built-in XGBoost container does with a request, reproduced from its published source.

It guesses the separator, checks neither the number of columns nor whether they are finite, and joins the scores of
all rows by commas.
"""

from __future__ import annotations

import csv
import io
import tarfile
from dataclasses import dataclass

import numpy as np
import xgboost as xgb

MAX_BODY_BYTES = 6_291_456


@dataclass(frozen=True)
class ContainerReply:
    """What the container says to the service in front of it."""

    status: int
    content_type: str
    body: bytes


class Container:
    """The model of one archive, loaded."""

    def __init__(self, archive: bytes) -> None:
        self._boosters = [_load(content) for content in _members(archive)]

    def invoke(self, body: bytes, content_type: str) -> ContainerReply:
        """Answer `POST /invocations`."""
        if content_type.split(";")[0].strip().lower() != "text/csv":
            return _refusal(415, f"Content-type {content_type} not supported.")
        try:
            matrix = _read_csv(body)
        except (UnicodeDecodeError, ValueError, csv.Error) as error:
            return _refusal(415, f"Loading csv data failed with Exception: {error}")
        try:
            scores = np.mean([booster.predict(matrix, validate_features=False) for booster in self._boosters], axis=0)
        except xgb.core.XGBoostError as error:
            return _refusal(400, f"Unable to evaluate payload provided: {error}")
        return ContainerReply(200, "text/csv; charset=utf-8", ",".join(map(str, scores.tolist())).encode())


def _members(archive: bytes) -> list[bytes]:
    """Return all files that do not begin with a dot: the container makes an ensemble of them."""
    contents = []
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
        for member in files.getmembers():
            stream = files.extractfile(member)
            if stream is not None and not member.name.rpartition("/")[2].startswith("."):
                contents.append(stream.read())
    return contents


def _load(content: bytes) -> xgb.Booster:
    booster = xgb.Booster()
    booster.load_model(bytearray(content))
    booster.set_param("nthread", 1)
    return booster


def _read_csv(body: bytes) -> xgb.DMatrix:
    lines = body.strip().decode("utf-8").split("\n")
    guess = csv.Sniffer().sniff(lines[0][:512]).delimiter
    separator = "," if guess.isalnum() else guess
    cells = [["nan" if cell == "" else cell for cell in line.split(separator)] for line in lines]
    return xgb.DMatrix(np.array(cells).astype(float))


def _refusal(status: int, message: str) -> ContainerReply:
    return ContainerReply(status, "text/plain", message.encode())
