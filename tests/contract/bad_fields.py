"""JSON documents with a member that breaks the schema: 422, naming the place and never the value."""

from __future__ import annotations

import json
from collections.abc import Iterator

from core.errors import MAX_ISSUES
from tests.app_under_test import MAX_BATCH_ITEMS
from tests.contract.case import Case, Issue, batch, json_batch, json_object, json_vector, predict, tokens
from tests.contract.rows import Rows

UNKNOWN = "<unknown>"


def field_cases(rows: Rows) -> Iterator[Case]:
    yield from _values(rows)
    yield from _ranges(rows)
    yield from _names(rows)
    yield from _shapes(rows)
    yield from _vectors(rows)
    yield from _ids(rows)
    yield from _batches(rows)


def _invalid(name: str, body: str, *issues: Issue, to_batch: bool = False) -> Case:
    return Case(name, batch(body) if to_batch else predict(body), 422, "invalid_request", issues)


def _values(rows: Rows) -> Iterator[Case]:
    name = rows.names[1]
    for label, token, code in (
        ("1e999", "1e999", "finite_number"),
        ("negative-1e999", "-1e999", "finite_number"),
        ("1e39", "1e39", "finite_number"),
        ("negative-1e39", "-1e39", "finite_number"),
        ("beyond-float32", "3.4028235677973366e38", "finite_number"),
        ("400-digit-integer", "9" * 400, "finite_number"),
        ("400-digit-negative-integer", "-" + "9" * 400, "finite_number"),
        ("401-digit-fraction", "7" * 401 + ".5", "finite_number"),
        ("text-number", '"1.54321"', "float_type"),
        ("text-nan", '"NaN"', "float_type"),
        ("text-with-underscore", '"1_000"', "float_type"),
        ("text-with-blanks", '" 1.0 "', "float_type"),
        ("text-empty", '""', "float_type"),
        ("true", "true", "float_type"),
        ("false", "false", "float_type"),
        ("null", "null", "float_type"),
        ("array", "[1.54321]", "float_type"),
        ("object", '{"value": 1.54321}', "float_type"),
    ):
        body = json_object(tokens(rows.fraud, **{name: token}))
        yield _invalid(f"value-{label}", body, Issue(("body", name), code))


def _ranges(rows: Rows) -> Iterator[Case]:
    floored = next(name for name in rows.names if rows.minima[name] == 0)
    below = json.dumps({**rows.fraud, floored: -1.54321})
    yield _invalid("value-below-minimum", below, Issue(("body", floored), "greater_than_equal"))
    bounded = next(name for name in rows.names if 0 < rows.maxima[name] < 1e37)
    above = json.dumps({**rows.fraud, bounded: rows.maxima[bounded] * 1.5})
    yield _invalid("value-above-maximum", above, Issue(("body", bounded), "less_than_equal"))


def _names(rows: Rows) -> Iterator[Case]:
    names, row = rows.names, rows.fraud
    last = names[-1]
    without = {name: value for name, value in row.items() if name != last}
    yield _invalid("missing-field", json.dumps(without), Issue(("body", last), "missing"))
    swapped = last[:-2] + last[-1] + last[-2]
    yield _invalid(
        "misspelt-field",
        json.dumps({**without, swapped: row[last]}),
        Issue(("body", last), "missing"),
        Issue(("body", UNKNOWN), "extra_forbidden", f"did you mean `{last}`?"),
    )
    other_case = last.lower() if last.lower() != last else last.upper()
    yield _invalid(
        "field-in-other-case",
        json.dumps({**without, other_case: row[last]}),
        Issue(("body", last), "missing"),
        Issue(("body", UNKNOWN), "extra_forbidden"),
    )
    extra = Issue(("body", UNKNOWN), "extra_forbidden")
    yield _invalid("extra-field", json.dumps({**row, "card_number": "4111111111111111"}), extra)
    yield _invalid("extra-field-named-by-a-value", json.dumps({**row, "4111111111111111": 1}), extra)
    yield _invalid("extra-field-with-empty-name", json.dumps({**row, "": 1}), extra)
    many = json.dumps({**row, **{f"4111-{i}": i for i in range(MAX_ISSUES + 5)}})
    yield _invalid("more-issues-than-are-listed", many, *[extra] * MAX_ISSUES)
    yield _invalid("empty-object", "{}", *(Issue(("body", name), "missing") for name in names[:MAX_ISSUES]))


def _shapes(rows: Rows) -> Iterator[Case]:
    for label, body in (
        ("array", json.dumps([rows.fraud])),
        ("numbers-alone", json.dumps(list(rows.fraud.values()))),
        ("null", "null"),
        ("true", "true"),
        ("number", "54321.5"),
        ("string", '"54321.5"'),
    ):
        yield _invalid(f"document-{label}", body, Issue(("body",), "object_type"))


def _vectors(rows: Rows) -> Iterator[Case]:
    values, where = list(rows.fraud.values()), ("body", "features")
    for label, features, issue in (
        ("one-short", values[:-1], Issue(where, "too_short")),
        ("one-long", [*values, 54321.5], Issue(where, "too_long")),
        ("empty", [], Issue(where, "too_short")),
        ("object", {"0": 54321.5}, Issue(where, "list_type")),
        ("null", None, Issue(where, "list_type")),
        ("text", "54321.5", Issue(where, "list_type")),
        ("with-a-text", [*values[:-1], "54321.5"], Issue((*where, len(values) - 1), "float_type")),
        ("with-a-bool", [True, *values[1:]], Issue((*where, 0), "float_type")),
        ("with-a-null", [values[0], None, *values[2:]], Issue((*where, 1), "float_type")),
        ("of-a-vector", [values], Issue(where, "too_short")),
    ):
        yield _invalid(f"vector-{label}", json.dumps({"features": features}), issue)
    overflow = json_vector(rows.fraud).replace(str(values[1]), "1e999", 1)
    yield _invalid("vector-with-1e999", overflow, Issue((*where, 1), "finite_number"))
    both = json.dumps({"features": values, rows.names[0]: 54321.5})
    yield _invalid("both-forms-mixed", both, Issue(("body", UNKNOWN), "extra_forbidden"))


def _ids(rows: Rows) -> Iterator[Case]:
    where = ("body", "transaction_id")
    for label, sent, code in (
        ("129-characters", "i" * 129, "string_too_long"),
        ("number", 4111111111111111, "string_type"),
        ("true", True, "string_type"),
        ("array", ["card-1"], "string_type"),
    ):
        yield _invalid(f"id-{label}", json.dumps({"transaction_id": sent, **rows.fraud}), Issue(where, code))
    vector = json.dumps({"features": list(rows.fraud.values()), "transaction_id": "i" * 129})
    yield _invalid("id-of-a-vector-129-characters", vector, Issue(where, "string_too_long"))


def _batches(rows: Rows) -> Iterator[Case]:
    where, row = ("body", "transactions"), json.dumps(rows.fraud)
    for label, body, issues in (
        ("empty", '{"transactions": []}', [Issue(where, "too_short")]),
        ("null", '{"transactions": null}', [Issue(where, "list_type")]),
        ("of-an-object", f'{{"transactions": {row}}}', [Issue(where, "list_type")]),
        ("missing", "{}", [Issue(where, "missing")]),
        ("as-an-array", f"[{row}]", [Issue(("body",), "object_type")]),
        ("with-a-null", json_batch([row, "null"]), [Issue((*where, 1), "object_type")]),
        ("with-an-array", json_batch(["[]", row]), [Issue((*where, 0), "object_type")]),
        (
            "with-a-member-more",
            json_batch([row])[:-1] + ', "card": 4111111111111111}',
            [Issue(("body", UNKNOWN), "extra_forbidden")],
        ),
    ):
        yield _invalid(f"batch-{label}", body, *issues, to_batch=True)
    yield from _one_bad_among_many(rows)


def _one_bad_among_many(rows: Rows) -> Iterator[Case]:
    where, name = ("body", "transactions"), rows.names[2]
    most = [json.dumps(row) for row in rows.many(MAX_BATCH_ITEMS)]
    for index in (0, 37, MAX_BATCH_ITEMS - 1):
        bad = [*most]
        bad[index] = json_object(tokens(rows.fraud, **{name: '"54321.5"'}))
        issue = Issue((*where, index, name), "float_type")
        yield _invalid(f"batch-one-bad-at-{index}", json_batch(bad), issue, to_batch=True)
    short = [*most[:-1], json.dumps({"features": list(rows.fraud.values())[:-1]})]
    issue = Issue((*where, MAX_BATCH_ITEMS - 1, "features"), "too_short")
    yield _invalid("batch-one-short-vector", json_batch(short), issue, to_batch=True)
    all_bad = json_batch([json_object(tokens(rows.fraud, **{name: "true"}))] * MAX_BATCH_ITEMS)
    issues = [Issue((*where, i, name), "float_type") for i in range(MAX_ISSUES)]
    yield _invalid("batch-all-bad", all_bad, *issues, to_batch=True)
