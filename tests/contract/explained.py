"""Requests of reasons: what `explain` may say, and how many transactions may be explained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from tests.app_under_test import MAX_EXPLAINED_ITEMS
from tests.contract.case import CSV_TYPE, KEY_HEADER, Case, Issue, Scored, csv_table, json_batch, json_vector, post
from tests.contract.rows import Rows

_CSV = (KEY_HEADER, CSV_TYPE)


def explained_cases(rows: Rows) -> Iterator[Case]:
    yield from _single(rows)
    yield from _batches(rows)
    yield from _values(rows)


def _single(rows: Rows) -> Iterator[Case]:
    for label, row in (("fraud", rows.fraud), ("legitimate", rows.legitimate)):
        body = json.dumps({"transaction_id": "t-1", **row})
        scored = (Scored(row, "t-1", explained=True),)
        yield Case(f"explain-{label}", post("/predict?explain=true", body), 200, scored=scored)
    explained, plain = (Scored(rows.fraud, explained=True),), (Scored(rows.fraud),)
    vector, body = json_vector(rows.fraud), json.dumps(rows.fraud)
    yield Case("explain-vector", post("/predict?explain=true", vector), 200, scored=explained)
    yield Case("explain-all-at-maximum", post("/predict?explain=true", json.dumps(rows.maxima)), 200,
               scored=(Scored(rows.maxima, explained=True),))  # fmt: skip
    for label, query, scored in (
        ("beside-another-parameter", "debug=1&explain=true", explained),
        ("with-an-escaped-name", "expl%61in=true", explained),
        ("false", "explain=false", plain),
        ("misspelt-is-another-parameter", "explian=true", plain),
        ("in-capitals-is-another-parameter", "EXPLAIN=true", plain),
        ("only-in-another-value", "x=explain", plain),
    ):
        yield Case(f"explain-{label}", post(f"/predict?{query}", body), 200, scored=scored)


def _batches(rows: Rows) -> Iterator[Case]:
    most, one_more = rows.many(MAX_EXPLAINED_ITEMS), rows.many(MAX_EXPLAINED_ITEMS + 1)
    scored = tuple(Scored(row, explained=True) for row in most)
    target = "/predict/batch?explain=true"
    yield Case("explain-batch-of-the-most", post(target, json_batch(list(map(json.dumps, most)))), 200, scored=scored)
    as_table = csv_table(rows.names, [list(row.values()) for row in most])
    yield Case("explain-csv-of-the-most", post(target, as_table, headers=_CSV), 200, scored=scored)
    bodies = json_batch(list(map(json.dumps, one_more))), csv_table(rows.names, [list(r.values()) for r in one_more])
    plain = tuple(replace(each, explained=False) for each in map(Scored, one_more))
    for name, body, headers in (("batch", bodies[0], None), ("csv", bodies[1], _CSV)):
        request = post(target, body) if headers is None else post(target, body, headers=headers)
        yield Case(f"explain-{name}-one-too-many", request, 413, "too_many_items")
        without = replace(request, target="/predict/batch?explain=false")
        yield Case(f"explain-{name}-false-is-any-batch", without, 200, scored=plain)
    bad = json_batch([json.dumps(rows.fraud), json.dumps({**rows.fraud, rows.names[1]: None})])
    issue = Issue(("body", "transactions", 1, rows.names[1]), "float_type")
    yield Case("explain-batch-with-a-bad-row", post(target, bad), 422, "invalid_request", (issue,))


def _values(rows: Rows) -> Iterator[Case]:
    body, issue = json.dumps(rows.fraud), Issue(("query", "explain"), "bool_parsing", "`true` or `false`")
    for label, query, not_on in (
        ("empty", "explain=", {}),
        ("without-a-value", "explain", {}),
        ("in-capitals", "explain=TRUE", {}),
        ("1", "explain=1", {}),
        ("yes", "explain=yes-4111111111111111", {}),
        ("padded", "explain=%20true", {}),
        ("beyond-utf-8", "explain=%ff%fe", {}),
        ("twice", "explain=true&explain=false", {"alb": "it passes on the last of two parameters of one name only"}),
    ):
        for path in ("/predict", "/predict/batch"):
            name = f"explain-{label}-{path.rpartition('/')[2]}"
            request = post(f"{path}?{query}", body)
            yield Case(name, request, 422, "invalid_request", (issue,), not_on=not_on)
    # Before the body is read, so that nobody sends one in vain.
    yield Case("explain-wrong-and-no-json", post("/predict?explain=1", "{"), 422, "invalid_request", (issue,))
