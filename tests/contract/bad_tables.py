"""CSV bodies that cannot be scored."""

from __future__ import annotations

from collections.abc import Iterator

from tests.app_under_test import MAX_BATCH_ITEMS
from tests.contract.case import Case, Issue, csv_table, table
from tests.contract.rows import Rows

UNKNOWN = "<unknown>"


def table_cases(rows: Rows) -> Iterator[Case]:
    yield from _malformed(rows)
    yield from _headers(rows)
    yield from _rows(rows)
    yield from _cells(rows)
    yield from _ids(rows)
    yield from _one_bad_among_many(rows)


def _malformed(rows: Rows) -> Iterator[Case]:
    cells = list(rows.fraud.values())
    good = csv_table(rows.names, [cells])
    for label, body in (
        ("empty", b""),
        ("byte-order-mark", good.encode("utf-8-sig")),
        ("utf-16", good.encode("utf-16")),
        ("latin-1", good.replace(rows.names[0], "montant-\xe9", 1).encode("latin-1")),
        ("quote-left-open", good.replace(str(cells[0]), f'"{cells[0]}', 1).encode()),
        ("text-after-a-quote", good.replace(str(cells[0]), f'"{cells[0]}"54321', 1).encode()),
        ("semicolons", good.replace(",", ";").encode()),
        ("tabs", good.replace(",", "\t").encode()),
    ):
        yield Case(f"csv-{label}", table(body), 400, "invalid_json")


def _invalid(name: str, body: str, *issues: Issue) -> Case:
    return Case(f"csv-{name}", table(body), 422, "invalid_request", issues)


def _headers(rows: Rows) -> Iterator[Case]:
    names, cells = rows.names, list(rows.fraud.values())
    missing = Issue(("body", names[-1]), "missing")
    extra = Issue(("body", UNKNOWN), "extra_forbidden")
    yield _invalid("column-missing", csv_table(names[:-1], [cells[:-1]]), missing)
    yield _invalid("column-more", csv_table([*names, "card_number"], [[*cells, 4111111111111111]]), extra)
    yield _invalid("column-misspelt", csv_table([*names[:-1], "card_number"], [cells]), missing, extra)
    yield _invalid("column-with-a-blank", csv_table([*names[:-1], f" {names[-1]}"], [cells]), missing, extra)
    twice = csv_table([*names, names[-1]], [[*cells, 54321.5]])
    yield _invalid("column-twice", twice, Issue(("body", names[-1]), "duplicate"))
    ids_twice = csv_table(["transaction_id", *names, "transaction_id"], [["t-1", *cells, "t-1"]])
    yield _invalid("ids-twice", ids_twice, Issue(("body", "transaction_id"), "duplicate"))
    missing_all = [Issue(("body", name), "missing") for name in names[:20]]
    yield _invalid("header-missing", csv_table(cells, [cells]), *missing_all)
    yield _invalid("header-blank", "\n" + csv_table(names, [cells]), *missing_all)


def _rows(rows: Rows) -> Iterator[Case]:
    names, cells = rows.names, list(rows.fraud.values())
    yield _invalid("header-alone", csv_table(names, []), Issue(("body",), "too_short"))
    yield _invalid("row-short", csv_table(names, [cells, cells[:-1]]), Issue(("body", 1), "row_width"))
    yield _invalid("row-long", csv_table(names, [[*cells, 54321.5], cells]), Issue(("body", 0), "row_width"))
    yield _invalid("blank-line", csv_table(names, [cells, [], cells]), Issue(("body", 1), "row_width"))
    yield _invalid("trailing-comma", csv_table(names, [[*cells, ""]]), Issue(("body", 0), "row_width"))


def _cells(rows: Rows) -> Iterator[Case]:
    name, cells = rows.names[1], list(rows.fraud.values())
    for label, cell, code in (
        ("nan", "NaN", "float_type"),
        ("inf", "inf", "float_type"),
        ("empty", "", "float_type"),
        ("true", "true", "float_type"),
        ("blanks", " 1.54321 ", "float_type"),
        ("underscore", "1_000_000", "float_type"),
        ("hexadecimal", "0x1F4A", "float_type"),
        ("formula", "=54321+1", "float_type"),
        ("decimal-comma", '"54,321"', "float_type"),
        ("thousands", '"54,321.25"', "float_type"),
        ("leading-zero", "012345", "float_type"),
        ("brackets", '"],[54321"', "float_type"),
        ("non-ascii-digits", "\u0665\u0664\u0663\u0662\u0661", "float_type"),
        ("1e999", "1e999", "finite_number"),
        ("1e39", "-1e39", "finite_number"),
    ):
        body = csv_table(rows.names, [cells, [cells[0], cell, *cells[2:]]])
        yield _invalid(f"cell-{label}", body, Issue(("body", 1, name), code))
    # Alone: no other row tells that it has too many numbers.
    alone = csv_table(rows.names, [['"54321,0.5"', *cells[1:]]])
    yield _invalid("cell-of-two-numbers-alone", alone, Issue(("body", 0, rows.names[0]), "float_type"))
    digits = csv_table(rows.names, [[cells[0], "7" * 401, *cells[2:]]])
    yield Case("csv-cell-401-digits", table(digits), 400, "invalid_json")
    floored = next(name for name in rows.names if rows.minima[name] == 0)
    below = csv_table(rows.names, [list({**rows.fraud, floored: -1.54321}.values())])
    yield _invalid("cell-below-minimum", below, Issue(("body", 0, floored), "greater_than_equal"))


def _ids(rows: Rows) -> Iterator[Case]:
    body = csv_table(["transaction_id", *rows.names], [["i" * 129, *rows.fraud.values()]])
    yield _invalid("id-129-characters", body, Issue(("body", 0, "transaction_id"), "string_too_long"))


def _one_bad_among_many(rows: Rows) -> Iterator[Case]:
    name, most = rows.names[2], [list(row.values()) for row in rows.many(MAX_BATCH_ITEMS)]
    for index in (0, 37, MAX_BATCH_ITEMS - 1):
        bad = [*most]
        bad[index] = [*most[index][:2], "54321.5x", *most[index][3:]]
        issue = Issue(("body", index, name), "float_type")
        yield _invalid(f"one-bad-at-{index}", csv_table(rows.names, bad), issue)
