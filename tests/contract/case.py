"""One line of the contract table: a request, and all that is promised about the reply."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.app_under_test import KEY
from tests.contract.exchange import Headers, Request

Row = Mapping[str, float]
"""The values of one transaction by field name."""

KEY_HEADER = (b"x-api-key", KEY.encode())
JSON_TYPE = (b"content-type", b"application/json")
CSV_TYPE = (b"content-type", b"text/csv")


@dataclass(frozen=True)
class Scored:
    """A transaction that the reply must score: the id it answers with, and the values it was sent with."""

    row: Row
    transaction_id: str | None = None
    explained: bool = False


@dataclass(frozen=True)
class Issue:
    """One entry of `errors`: where and what; `hint` is part of the message."""

    loc: tuple[str | int, ...]
    code: str
    hint: str = ""


@dataclass(frozen=True)
class Case:
    """A named request with the reply that every transport must give."""

    name: str
    request: Request
    status: int
    code: str | None = None
    """Of the problem; None: the reply is a good one."""
    issues: tuple[Issue, ...] | None = None
    """All entries of `errors`, in order; None: not told here."""
    scored: tuple[Scored, ...] = ()
    body: object = None
    """The whole JSON reply, where it can be told beforehand."""
    headers: Mapping[str, str] = field(default_factory=dict)
    replaces_request_id: bool = False
    not_on: Mapping[str, str] = field(default_factory=dict)
    """Transports that cannot express the request, each with the reason."""

    def named_request(self) -> Request:
        """Return the request with the case's name as its request id, unless the case is about request ids."""
        if self.replaces_request_id or any(name == b"x-request-id" for name, _ in self.request.headers):
            return self.request
        return replace(self.request, headers=(*self.request.headers, (b"x-request-id", self.name.encode())))


def post(target: str, body: bytes | str, *, headers: Headers = (KEY_HEADER, JSON_TYPE)) -> Request:
    """Return a POST with the active key, as JSON."""
    return Request("POST", target, headers, body.encode() if isinstance(body, str) else body)


def predict(body: bytes | str, *, headers: Headers = (KEY_HEADER, JSON_TYPE)) -> Request:
    return post("/predict", body, headers=headers)


def batch(body: bytes | str, *, headers: Headers = (KEY_HEADER, JSON_TYPE)) -> Request:
    return post("/predict/batch", body, headers=headers)


def table(body: bytes | str) -> Request:
    """Return a batch as CSV."""
    return post("/predict/batch", body, headers=(KEY_HEADER, CSV_TYPE))


def tokens(row: Row, **changes: str) -> dict[str, str]:
    """Return the JSON token of each value, `changes` put in as they are."""
    return {**{name: json.dumps(value) for name, value in row.items()}, **changes}


def json_object(members: Mapping[str, str]) -> str:
    """Return a JSON object of raw tokens: what is no JSON stays none."""
    return "{" + ", ".join(f"{json.dumps(name)}: {token}" for name, token in members.items()) + "}"


def json_vector(row: Row) -> str:
    return json.dumps({"features": list(row.values())})


def json_batch(transactions: Sequence[str]) -> str:
    return '{"transactions": [' + ", ".join(transactions) + "]}"


def csv_table(header: Sequence[str], rows: Sequence[Sequence[object]], newline: str = "\n") -> str:
    lines = [",".join(map(str, line)) for line in (header, *rows)]
    return newline.join([*lines, ""])
