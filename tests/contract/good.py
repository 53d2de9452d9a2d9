"""Requests that must be scored, in every form that the API reads."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.app_under_test import MAX_BATCH_ITEMS, OTHER_KEY
from tests.contract.case import (
    CSV_TYPE,
    JSON_TYPE,
    KEY_HEADER,
    Case,
    Scored,
    batch,
    csv_table,
    json_batch,
    json_object,
    json_vector,
    predict,
    table,
    tokens,
)
from tests.contract.exchange import Request
from tests.contract.rows import Rows


def good_cases(rows: Rows) -> Iterator[Case]:
    yield from _single(rows)
    yield from _numbers(rows)
    yield from _ids(rows)
    yield from _batches(rows)
    yield from _tables(rows)
    yield from _headers(rows)


def _single(rows: Rows) -> Iterator[Case]:
    fraud, legitimate = rows.fraud, rows.legitimate
    backwards = dict(reversed(tokens(fraud).items()))
    spaced = json.dumps(fraud, indent=4).replace("\n", "\r\n\t ")
    chunks = tuple(json.dumps(fraud)[i : i + 50].encode() for i in range(0, len(json.dumps(fraud)), 50))
    yield Case("object-fraud", predict(json.dumps(fraud)), 200, scored=(Scored(fraud),))
    yield Case("object-legitimate", predict(json.dumps(legitimate)), 200, scored=(Scored(legitimate),))
    yield Case("object-keys-backwards", predict(json_object(backwards)), 200, scored=(Scored(fraud),))
    yield Case("object-blanks-between", predict(spaced), 200, scored=(Scored(fraud),))
    yield Case("vector", predict(json_vector(fraud)), 200, scored=(Scored(fraud),))
    yield Case(
        "object-chunked",
        Request("POST", "/predict", (KEY_HEADER, JSON_TYPE), chunks=chunks),
        200,
        scored=(Scored(fraud),),
    )
    escaped = json.dumps(fraud).replace('"' + rows.names[1], f'"\\u{ord(rows.names[1][0]):04x}{rows.names[1][1:]}', 1)
    yield Case("object-escaped-key", predict(escaped), 200, scored=(Scored(fraud),))


def _numbers(rows: Rows) -> Iterator[Case]:
    name = next(name for name in rows.names if rows.minima[name] <= 0 <= rows.maxima[name])
    for label, token, value in (
        ("negative-zero", "-0.0", -0.0),
        ("negative-integer-zero", "-0", 0.0),
        ("below-float64", "5e-400", 0.0),
        ("denormal", "5e-324", 5e-324),
        ("integer", "1", 1.0),
        ("exponent", "1E+0", 1.0),
        ("many-digits", "0." + "3" * 300, float("0." + "3" * 300)),
        ("zero-with-huge-exponent", "0e99999", 0.0),
    ):
        row = {**rows.fraud, name: value}
        yield Case(f"number-{label}", predict(json_object(tokens(row, **{name: token}))), 200, scored=(Scored(row),))
    lowest, highest = rows.minima, rows.maxima
    yield Case("all-at-minimum", predict(json.dumps(lowest)), 200, scored=(Scored(lowest),))
    yield Case("all-at-maximum", predict(json.dumps(highest)), 200, scored=(Scored(highest),))


def _ids(rows: Rows) -> Iterator[Case]:
    row = rows.fraud
    for label, sent in (
        ("usual", "t-1"),
        ("empty", ""),
        ("128-characters", "x" * 128),
        ("128-characters-beyond-the-bmp", "\U0001f4b3" * 128),
        ("control-characters", "a\r\nb\x00c\x1b[31m"),
        ("markup", "<script>\"'&{}"),
    ):
        scored = (Scored(row, sent),)
        yield Case(f"id-{label}", predict(json.dumps({"transaction_id": sent, **row})), 200, scored=scored)
    yield Case("id-null", predict(json.dumps({"transaction_id": None, **row})), 200, scored=(Scored(row),))
    vector = json.dumps({"features": list(row.values()), "transaction_id": "t-2"})
    yield Case("id-of-a-vector", predict(vector), 200, scored=(Scored(row, "t-2"),))


def _batches(rows: Rows) -> Iterator[Case]:
    row, full = rows.fraud, rows.many(MAX_BATCH_ITEMS)
    yield Case("batch-of-1", batch(json_batch([json.dumps(row)])), 200, scored=(Scored(row),))
    yield Case(
        "batch-of-the-most",
        batch(json_batch([json.dumps({"transaction_id": f"t-{i}", **row}) for i, row in enumerate(full)])),
        200,
        scored=tuple(Scored(row, f"t-{i}") for i, row in enumerate(full)),
    )
    yield Case("batch-same-row-twice", batch(json_batch([json.dumps(row)] * 2)), 200, scored=(Scored(row),) * 2)
    mixed = [json.dumps(full[0]), json_vector(full[1]), json.dumps(full[2])]
    yield Case("batch-mixed-forms", batch(json_batch(mixed)), 200, scored=tuple(map(Scored, full[:3])))


def _tables(rows: Rows) -> Iterator[Case]:
    names, some = rows.names, rows.many(3)
    cells = [list(row.values()) for row in some]
    scored = tuple(map(Scored, some))
    with_ids = [[f"t-{i}", *row] for i, row in enumerate(cells)]
    scored_ids = tuple(Scored(row, f"t-{i}") for i, row in enumerate(some))
    backwards = [list(reversed(row)) for row in with_ids]
    quoted = [[f'"{cell}"' for cell in row] for row in cells]
    yield Case("csv", table(csv_table(names, cells)), 200, scored=scored)
    yield Case("csv-with-ids", table(csv_table(["transaction_id", *names], with_ids)), 200, scored=scored_ids)
    header = [*reversed(names), "transaction_id"]
    yield Case("csv-columns-backwards", table(csv_table(header, backwards)), 200, scored=scored_ids)
    yield Case("csv-crlf", table(csv_table(names, cells, "\r\n")), 200, scored=scored)
    yield Case("csv-no-trailing-newline", table(csv_table(names, cells).rstrip("\n")), 200, scored=scored)
    yield Case("csv-quoted-cells", table(csv_table(names, quoted)), 200, scored=scored)
    yield Case("csv-one-row", table(csv_table(names, cells[:1])), 200, scored=scored[:1])
    no_id = [["", *row] for row in cells]
    yield Case("csv-empty-ids", table(csv_table(["transaction_id", *names], no_id)), 200, scored=scored)
    odd = [['"a,""b""\n"', *cells[0]], ["x" * 128, *cells[1]]]
    yield Case(
        "csv-quoted-and-long-ids",
        table(csv_table(["transaction_id", *names], odd)),
        200,
        scored=(Scored(some[0], 'a,"b"\n'), Scored(some[1], "x" * 128)),
    )
    full = rows.many(MAX_BATCH_ITEMS)
    most = csv_table(names, [list(row.values()) for row in full])
    yield Case("csv-of-the-most", table(most), 200, scored=tuple(map(Scored, full)))


def _headers(rows: Rows) -> Iterator[Case]:
    body, scored = json.dumps(rows.fraud), (Scored(rows.fraud),)
    for label, headers in (
        ("charset-utf-8", (KEY_HEADER, (b"content-type", b"application/json; charset=utf-8"))),
        ("charset-quoted-capitals", (KEY_HEADER, (b"content-type", b'Application/JSON;Charset="UTF-8"'))),
        ("identity-encoding", (KEY_HEADER, JSON_TYPE, (b"content-encoding", b"identity"))),
        ("other-active-key", ((b"x-api-key", OTHER_KEY.encode()), JSON_TYPE)),
        ("key-header-in-other-case", ((b"X-API-Key", KEY_HEADER[1]), JSON_TYPE)),
    ):
        yield Case(label, predict(body, headers=headers), 200, scored=scored)
    csv_body = csv_table(rows.names, [list(rows.fraud.values())])
    headers = (KEY_HEADER, (CSV_TYPE[0], b"text/csv; header=present; charset=UTF-8"))
    yield Case("csv-charset-and-parameters", batch(csv_body, headers=headers), 200, scored=scored)
