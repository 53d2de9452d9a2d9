"""Formats: each reads what it is given, row by row where it must, and says of a file that it cannot read why."""

from __future__ import annotations

import asyncio
import io

import pytest

from core.bundle import Bundle
from core.errors import JobFailedError
from core.jobs.chunks import ScoredChunk, score_chunk
from core.jobs.formats.base import ChunkLimits, Layout
from core.jobs.formats.choice import format_of, guess_format
from core.jobs.records import FormatName
from core.scoring.embedded import EmbeddedScorer
from core.service import ScoringService
from core.transactions import TransactionSchema
from tests.jobs.tables import FORMATS, decode, encode, table

LIMITS = ChunkLimits(rows=40)
HEADER = b"json,class,log.amount,shop\n"


def scored(
    raw: bytes, name: FormatName, tiny: Bundle, carry: tuple[str, ...] | None = None, limits: ChunkLimits = LIMITS
) -> list[ScoredChunk]:
    schema, service = TransactionSchema(tiny.manifest.fields), ScoringService(tiny, EmbeddedScorer(tiny))
    reader = format_of(name)
    opened = reader.open(io.BytesIO(raw), schema, carry, limits)
    rows = [reader.rows(chunk.payload, opened.layout, schema) for chunk in opened.chunks]
    return [asyncio.run(score_chunk(each, service)) for each in rows]


def statuses(raw: bytes, tiny: Bundle, name: FormatName = "csv") -> list[str]:
    return [status for chunk in scored(raw, name, tiny) for status in chunk.statuses]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_scores_and_carries_what_it_is_told_to(name: FormatName, tiny: Bundle) -> None:
    rows = table(100)
    chunks = scored(encode(rows, name), name, tiny, ("shop", "transaction_id"))
    found = [row for chunk in chunks for row in decode(format_of(name).encode(chunk), name)]

    assert [chunk.n_rows for chunk in chunks] == [40, 40, 20]
    assert list(found[0]) == ["shop", "transaction_id", "fraud_score", "decision", "model_version", "status"]
    assert [(row["shop"], row["transaction_id"]) for row in found] == [(r["shop"], r["transaction_id"]) for r in rows]
    expected = [score for chunk in scored(encode(rows, "csv"), "csv", tiny) for score in chunk.fraud_scores]
    assert [row["fraud_score"] for row in found] == expected
    assert {row["model_version"] for row in found} == {"tiny-1.0"}
    assert {row["status"] for row in found} == {"scored"}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_writes_the_same_bytes_again(name: FormatName, tiny: Bundle) -> None:
    [chunk] = scored(encode(table(10), name), name, tiny)

    assert format_of(name).encode(chunk) == format_of(name).encode(chunk)


@pytest.mark.parametrize("name", FORMATS)
def test_transaction_id_is_carried_unless_told_otherwise(name: FormatName, tiny: Bundle) -> None:
    raw = encode(table(3), name)

    assert list(scored(raw, name, tiny)[0].carried) == ["transaction_id"]
    assert list(scored(raw, name, tiny, ())[0].carried) == []


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"1,2,3,x", "scored"),
        (b"1,2,3,x\r", "scored"),
        (b'1,2,3,"a, ""b"""', "scored"),
        (b'"1",2,3,x', "scored"),
        (b"1,2,3", "row_width"),
        (b"1,2,3,x,", "row_width"),
        (b"", "empty_line"),
        (b"1,2,-1,x", "greater_than_equal:log.amount"),
        (b"1,2,,x", "float_type:log.amount"),
        (b"1,2,NaN,x", "float_type:log.amount"),
        (b"1, 2,3,x", "float_type:class"),
        (b"1,2,1e999,x", "finite_number:log.amount"),
        (b"1,2," + b"9" * 500 + b",x", "unreadable_value"),
        (b'1,2,"3,3",x', "float_type:log.amount"),
        (b'1,2,3,"x', "quotes_do_not_match"),
        (b'1,2,3,"x"y', "quotes_do_not_match"),
        (b"1,2,3,x\0", "nul_character"),
        (b"1,2,3,\xff", "wrong_encoding"),
        (b"1,2,3," + b"x" * 70_000, "line_too_long"),
        ("1,2,3,a\u2028b\x85".encode(), "scored"),
    ],
)
def test_csv_row_with_a_fault_is_named_and_spares_its_neighbours(line: bytes, status: str, tiny: Bundle) -> None:
    good = b"1.5,2,3,x\n"

    assert statuses(HEADER + good * 70 + line + b"\n" + good, tiny) == ["scored"] * 70 + [status, "scored"]
    # And where it is the last line, and nothing ends it.
    if line:
        assert statuses(HEADER + good + line, tiny) == ["scored", status]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b'{"json": 1, "class": 2, "log.amount": 3}', "scored"),
        (b'{"features": [1, 2, 3], "shop": "x"}', "scored"),
        (b' {"json": 1, "class": 2, "log.amount": 3}\r', "scored"),
        (b'{"json": 1, "class": 2, "log.amount": "3"}', "float_type:log.amount"),
        (b'{"json": 1, "class": 2}', "missing:log.amount"),
        (b'{"json": 1, "class": 2, "log.amount": 3', "invalid_json"),
        (b'{"json": 1, "json": 1, "class": 2, "log.amount": 3}', "invalid_json"),
        (b'{"json": 1, "class": 2, "log.amount": 3},{}', "invalid_json"),
        (b'{"json": NaN, "class": 2, "log.amount": 3}', "invalid_json"),
        (b"[1, 2, 3]", "object_type"),
        (b"7", "object_type"),
        (b"", "empty_line"),
        (b"\xff", "invalid_json"),
        (b'{"shop": "' + b"x" * 70_000 + b'"}', "line_too_long"),
    ],
)
def test_json_line_with_a_fault_is_named_and_spares_its_neighbours(line: bytes, status: str, tiny: Bundle) -> None:
    good = b'{"json": 1.5, "class": 2, "log.amount": 3}\n'

    assert statuses(good + line + b"\n" + good, tiny, "jsonl") == ["scored", status, "scored"]


def test_json_line_carries_any_value_and_leaves_out_what_is_not_there(tiny: Bundle) -> None:
    good = b'{"json": 1, "class": 2, "log.amount": 3%s}\n'
    raw = good % b', "n": {"deep": [1.0, "x"]}' + good % b', "n": null' + good % b"" + b"x\n"
    [chunk] = scored(raw, "jsonl", tiny, ("n",))
    found = decode(format_of("jsonl").encode(chunk), "jsonl")

    assert [row.get("n", "absent") for row in found] == [{"deep": [1.0, "x"]}, None, "absent", "absent"]
    assert [row["status"] for row in found] == ["scored", "scored", "scored", "invalid_json"]


def test_parquet_row_with_a_fault_is_named_and_spares_its_neighbours(tiny: Bundle) -> None:
    rows = table(6)
    rows[1]["log.amount"] = None
    rows[2]["log.amount"] = float("nan")
    rows[3]["json"] = 1e300
    rows[4]["log.amount"] = -1.0

    assert statuses(encode(rows, "parquet"), tiny, "parquet") == [
        "scored",
        "finite_number:log.amount",
        "finite_number:log.amount",
        "finite_number:json",
        "greater_than_equal:log.amount",
        "scored",
    ]


def test_parquet_rows_that_hold_much_come_in_smaller_chunks(tiny: Bundle) -> None:
    rows = [{**row, "shop": "x" * 1000} for row in table(40)]
    chunks = scored(encode(rows, "parquet"), "parquet", tiny, ("shop",), ChunkLimits(rows=40, n_bytes=20_000))

    assert len(chunks) > 1
    assert sum(chunk.n_rows for chunk in chunks) == 40


@pytest.mark.parametrize(
    ("raw", "name", "code"),
    [
        (b"", "csv", "empty_input"),
        (b"\xef\xbb\xbf" + HEADER, "csv", "byte_order_mark"),
        ("json,class,log.amount\n".encode("utf-16"), "csv", "wrong_encoding"),
        (b"json,class,log.amount,\xff\n", "csv", "wrong_encoding"),
        (HEADER.replace(b",", b";"), "csv", "wrong_delimiter"),
        (b"json,class\n1,2\n", "csv", "missing_columns"),
        (b"1,2,3\n", "csv", "missing_columns"),
        (b"json,class,log.amount,json\n", "csv", "duplicate_columns"),
        (b'json,class,"log.amount\n1,2,3\n', "csv", "wrong_format"),
        (b'{"json": 1}\n', "csv", "wrong_format"),
        (b"json,class,log.amount\r1,2,3\r", "csv", "wrong_line_ends"),
        (b"x" * 70_000, "csv", "line_too_long"),
        (encode(table(1), "parquet"), "csv", "wrong_format"),
        (encode(table(1), "csv.gz"), "csv", "wrong_format"),
        (encode(table(1), "csv"), "csv.gz", "invalid_gzip"),
        (encode(table(1), "csv"), "jsonl", "wrong_format"),
        (encode(table(1), "csv"), "parquet", "wrong_format"),
        (encode(table(1), "parquet")[:-9], "parquet", "wrong_format"),
        (encode([{"json": 1.0}], "parquet"), "parquet", "missing_columns"),
        (encode([{**table(1)[0], "json": "1"}], "parquet"), "parquet", "wrong_column_type"),
    ],
)
def test_file_that_is_not_of_its_format_is_refused_by_its_code(
    raw: bytes, name: FormatName, code: str, tiny: Bundle
) -> None:
    with pytest.raises(JobFailedError) as raised:
        scored(raw, name, tiny)

    assert raised.value.job_code == code


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_column_to_carry_that_is_not_there_is_refused_without_its_name(name: FormatName, tiny: Bundle) -> None:
    with pytest.raises(JobFailedError, match="column 2 of those") as raised:
        scored(encode(table(1), name), name, tiny, ("shop", "4111111111111111"))

    assert raised.value.job_code == "missing_columns"
    assert "4111" not in str(raised.value)


def test_layout_of_json_lines_is_in_its_lines(tiny: Bundle) -> None:
    schema = TransactionSchema(tiny.manifest.fields)
    opened = format_of("jsonl").open(io.BytesIO(encode(table(1), "jsonl")), schema, None, LIMITS)

    assert opened.layout == Layout((), ("transaction_id",))


@pytest.mark.parametrize(("name", "expected"), [
    ("a.csv", "csv"), ("A.CSV", "csv"), ("a.csv.gz", "csv.gz"), ("a.jsonl", "jsonl"), ("a.ndjson", "jsonl"),
    ("a.b.parquet", "parquet"), ("a.xlsx", None), ("csv", None),
])  # fmt: skip
def test_guess_format_goes_by_the_name(tmp_path_factory: pytest.TempPathFactory, name: str, expected: str) -> None:
    assert guess_format(tmp_path_factory.getbasetemp() / name) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_optional_field_may_be_missing_in_every_format(name: FormatName, tiny: Bundle) -> None:
    fields = [
        field.model_copy(update={"if_missing": -1.0} if field.name == "json" else {}) for field in tiny.manifest.fields
    ]
    schema = TransactionSchema(fields)
    rows = [{**row, "json": None if index % 2 else row["json"]} for index, row in enumerate(table(4))]

    for given in (rows, [{key: value for key, value in row.items() if key != "json"} for row in rows]):
        reader = format_of(name)
        opened = reader.open(io.BytesIO(encode(given, name)), schema, (), LIMITS)
        [found] = [reader.rows(chunk.payload, opened.layout, schema) for chunk in opened.chunks]

        assert found.faults == [None] * 4
        assert [row[0] for row in found.transactions.values.tolist()] == [
            -1.0 if row.get("json") is None else row["json"] for row in given
        ]
