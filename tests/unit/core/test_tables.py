"""The fast ways to read a batch: what they read is what the slow ways read, bit for bit, or they leave it to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core import csv_document, json_table
from core.bundle import Bundle
from core.csv_document import read_csv
from core.csv_table import read_csv_table
from core.errors import FraudScoringError, InvalidTransactionError, MalformedBodyError
from core.json_document import read_json
from core.json_table import read_json_batch, read_json_table
from core.number_text import PIECE_BYTES, read_numbers
from core.preprocessing import FieldSpec
from core.transactions import Transactions, TransactionSchema

MAX_ITEMS = 20
SCHEMA = TransactionSchema([
    FieldSpec(name="a", minimum=-1e30, maximum=1e30),
    FieldSpec(name="b1", minimum=0.0, maximum=1e18),
    FieldSpec(name="b2", minimum=-1.0, maximum=10.0),
])  # fmt: skip
Read = Callable[[bytes], Transactions]

JSON_BODIES = [
    b'{"transactions": [{"a": 1, "b1": 2.5, "b2": -0.0}, {"a": -1e-7, "b1": 1E+2, "b2": 3}]}',
    b'{"transactions":[{"b2":1,"a":2,"b1":3},{"b2":4,"a":5,"b1":6},{"b2":7,"a":8,"b1":9}]}',
    b' {"transactions" : [ {"transaction_id": "t-1", "a": 1, "b1": 2, "b2": 3},\n '
    b'{"transaction_id": "\xc3\xa4, 7", "a": 1, "b1": 2, "b2": 3} ] } ',
    b'{"transactions":[{"a":1,"transaction_id":"","b1":2,"b2":3},{"a":1,"transaction_id":"x","b1":2,"b2":3}]}',
    b'{"transactions":[{"a":0,"b1":0,"b2":0,"transaction_id":"1:,\xc3\xa4{]"},'
    b'{"a":0,"b1":0,"b2":0,"transaction_id":":"}]}',
    b'{\n  "transactions": [\n    {\n      "a": 1,\n      "b1": 2,\n      "b2": 3\n    },\n'
    b'    {\n      "a": 1,\n      "b1": 2,\n      "b2": 3\n    }\n  ]\n}\n',
]
VECTOR_BODIES = [
    b'{"transactions": [{"features": [1, 2.5, -0.0]}, {"features": [-1e-7, 1E+2, 3]}]}',
    b'{"transactions":[{"features":[1,2,3]},{"features":[4,5,6]},{"features":[7,8,9]}]}',
    b'{"transactions": [{"transaction_id": "t-1", "features": [1, 2, 3]},\n '
    b'{"transaction_id": "\xc3\xa4, ]},", "features": [1, 2, 3]} ] } ',
    b'{"transactions":[{"transaction_id":"","features":[1,2,3]},{"transaction_id":"[:{","features":[4,5,6]}]}',
    b'{\n  "transactions": [\n    {\n      "features": [\n        1,\n        2,\n        3\n      ]\n    }\n  ]\n}\n',
]
CSV_BODIES = [
    b"a,b1,b2\n1,2.5,-0.0\n-1e-7,1E+2,3\n",
    b"b2,a,b1\r\n1,2,3\r\n4,5,6",
    b"transaction_id,a,b1,b2\nt-1,1,2,3\n,4,5,6\n\xc3\xa4,7,8,9\n",
]
SNIPPETS = [
    *(bytes([each]) for each in b'{}[]:,"\\ \n\r\t\x00\x0b0123456789+-.eE\xc3\xa4'),
    *(b'"a"', b'"b1":', b'"b2": ', b'"b1": 1, ', b"}, {", b"},{", b"[1]", b"null", b"true", b"NaN", b"1e999", b"-0"),
    *(b"9" * 30, b"9007199254740993", b"0.1000000000000000055511151231257827", b'"transaction_id": "x", '),
    *(b"1.7e308", b",1.7e308,", b'"features":[', b'"features": [', b"]},{", b"]}, {", b'0 ,"a":', b'"y":"z",'),
    *(b'"transactions"', b"\xef\xbb\xbf", b" 5, ", b"0, ", b'"a":"b1":', b"{}", b"x" * 129, b"\r\n", b'""', b",,"),
]


def slow_json(body: bytes) -> Transactions:
    return SCHEMA.parse_many(read_json(body), MAX_ITEMS)


def slow_csv(body: bytes) -> Transactions:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_document, "read_csv_table", lambda *_: None)
        return read_csv(body, SCHEMA, MAX_ITEMS)


def outcome(read: Read, body: bytes) -> object:
    """Return what `read` makes of `body`, as something that can be compared."""
    try:
        transactions = read(body)
    except FraudScoringError as error:
        return type(error), str(error), getattr(error, "issues", None)
    return transactions.ids, transactions.values.shape, (transactions.values + 0.0).tobytes()


def in_pieces(read: Read, body: bytes) -> list[object]:
    """Return the outcomes of a `read` that takes a row, a few or all at a time."""
    outcomes = []
    for n_bytes in (1, 60, 1 << 17):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("core.csv_table.PIECE_BYTES", n_bytes)
            patch.setattr(json_table, "PIECE_BYTES", n_bytes)
            outcomes.append(outcome(read, body))
    return outcomes


@st.composite
def damaged(draw: st.DrawFn, bodies: list[bytes]) -> bytes:
    """Draw a body with some of its bytes replaced, cut out, repeated or added to."""
    body = draw(st.sampled_from(bodies))
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(len(body), start + draw(st.sampled_from([0, 1, 3, 12, 40])))))
        middle = draw(st.sampled_from([*SNIPPETS, b"", body[start:end] * 2]))
        body = body[:start] + middle + body[end:]
    return body


@given(damaged(JSON_BODIES))
@example(b'{"transactions":[{"a":"b1":0,"b2":1, 5}]}')
@example(b'{"transactions":[{"a":1},"b1":2,"b2":3]}')
@example(b'{"transactions":[{"a":1,"b1":2,"b2":3},{"a":1,"b1":2},{"b2":3}]}')
@example(b'{"transactions":[{"a":1,"b1":2,"b2":3, 4, 5, 6, 7, 8, 9}]}')
@example(b'{"transactions":[{"a":1,"b1":2,"b2":3}, 1, 2, 3, 4, 5, 6]}')
@example(b'{"transactions":[{"a":1,"b1":2,"b2":3}]}]}')
@example(b'{"transactions":[{"a":1,"transaction_id":2"x","b1":2,"b2":3}]}')
@example(b'{"transactions":[{"a":1,"transaction_id":"x"2,"b1":2,"b2":3}]}')
@example(b'{"transactions":[{"a":1, "b1":2,"b2":3}]}')
@example(b'{"transactions":[{"a":1,"b1":2,"b2":3}, {"a":1,"b1":2,"b2":3},{"a":1,"b1":2,"b2":3}]}')
@example(b'{"transactions":[{"a":1,"b1":2,"b2":},{"a":1,"b1":2,"b2":3,4}]}')
@example(b'{"transactions":[{"transaction_id":"x","a":1,"b1":2,"b2":"3"},{"transaction_id":4,"a":1,"b1":2,"b2":3}]}')
@example(b'{"transactions":[{"transaction_id":"x","a":1,"b1":2,"b2":3},{"transaction_id":"y" "a":1,"b1":2,"b2":3}]}')
@example(b'{"transactions":[{"a":1,"b1":2,"b2":3},{"A":1,"b1":2,"b2":3}]}')
@example(b'{"transactions":[{"a":1,"b1":[2],"b2":3}]}')
@example(b'{"transactions":[{"transaction_id":"\\n","a":1,"b1":2,"b2":3}]}')
@example(b'{"transactions":[{"transaction_id":"' + b"x" * 129 + b'","a":1,"b1":2,"b2":3}]}')
@example(b'{"transactions":[{"transaction_id":"x","a":1,"b1":2,"b2":3},{"transaction_id":"y".5,"a":1,"b1":2,"b2":3}]}')
@example(b'{"transactions":[{"transaction_id":"x","a":1,"b1":2,"b2":3},{"transaction_id":0 ,"a":1,"b1":2,"b2":3}]}')
@example(b'{"transactions":[{"a":0,"b1":0,"b2":0,"transaction_id":"},{"a":0,"b1":0,"b2":0,"transaction_id":"x"}]}')
@example(b'{"transactions":[{"a":0,"b1":0,"b2":0,"transaction_id":"x"},{"a":0,"b1":0,"b2":0,"transaction_id":"}]}')
@hypothesis_settings(max_examples=1500)
def test_json_table_reads_what_the_schema_reads_or_nothing(body: bytes) -> None:
    assert in_pieces(lambda raw: read_json_batch(raw, SCHEMA, MAX_ITEMS), body) == [outcome(slow_json, body)] * 3


@given(damaged(VECTOR_BODIES))
@example(b'{"transactions":[{"features":[1,2,3,1.7e308,4,5,6]}]}')
@example(b'{"transactions":[{"features":[1,2,3,1.7e308]},{"features":[4,5]}]}')
@example(b'{"transactions":[{"features":[1,2]},{"features":[3,4,5,6]}]}')
@example(b'{"transactions":[{"features":[1,[2],3]}]}')
@example(b'{"transactions":[{"features":[1,2,3]},{"features":[1,2,3 }]}')
@example(b'{"transactions":[{"transaction_id":"\\n","features":[1,2,3]}]}')
@example(b'{"transactions":[{"transaction_id":"' + b"x" * 129 + b'","features":[1,2,3]}]}')
@example(b'{"transactions":[{"features":[1,2,3]},{"features":[]},{"features":[1,2,3]}]}')
@example(b'{"transactions":[{"features":[1,2,3]},{"features":[1,2,3],"a":1}]}')
@example(b'{"transactions":[{"features":[1,2,3]},{"a":1,"b1":2,"b2":3}]}')
@example(b'{"transactions":[{"features":[1,2,3]},{"transaction_id":"x","features":[1,2,3]}]}')
@example(b'{"transactions":[{"transaction_id":"x","features":[1,2,3]},{"features":[1,2,3]}]}')
@example(
    b'{"transactions":[{"transaction_id":"x","features":[1,2,3]},{"transaction_id":"x","y":"z","features":[1,2,3]}]}'
)
@example(b'{"transactions":[{"transaction_id":"x","features":[1,2,3]},{"transaction_id":"\n","features":[1,2,3]}]}')
@example(b'{"transactions":[{"transaction_id":"x","features":[1,2\n3,4,5,6]}]}')
@hypothesis_settings(max_examples=1000)
def test_vectors_are_read_as_the_schema_reads_them_or_not_at_all(body: bytes) -> None:
    assert in_pieces(lambda raw: read_json_batch(raw, SCHEMA, MAX_ITEMS), body) == [outcome(slow_json, body)] * 3


@given(damaged(CSV_BODIES))
@example(CSV_BODIES[2] + b"6")
@example(CSV_BODIES[2] + b"x" * 129 + b",1,2,3")
@example(CSV_BODIES[2] + b"\n")
@example(b"a,b1,b2\n1,2\n3,4,5,6\n")
@example(b"a,b1,b2\n1,2,3,1.7e308\n4,5\n")
@example(b"a,b1,b2\n1,2,3,1.7e308,4,5,6\n")
@example(b"a,b1,b2\n1,2,1.7e308\n")
@example(b"a,b1,b2\n1, 2,3\n")
@example(b"a,b1,b2\n1,[2],3\n")
@example(b"a,b1,b2\n1,null,3\n")
@example(b"a,b1,b2\n1,2,3\n\n4,5,6\n")
@hypothesis_settings(max_examples=1000)
def test_csv_table_reads_what_the_csv_reader_reads_or_nothing(body: bytes) -> None:
    assert in_pieces(lambda raw: read_csv(raw, SCHEMA, MAX_ITEMS), body) == [outcome(slow_csv, body)] * 3


numbers = st.one_of(
    st.floats(-1e29, 1e29).map(repr),
    st.integers(-(10**25), 10**25).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
)


@given(st.lists(numbers, min_size=1, max_size=9))
def test_number_has_the_same_bits_by_either_parser(texts: list[str]) -> None:
    raw = f"[{','.join(texts)}]".encode()

    fast = read_numbers([raw])

    slow = np.array(read_json(raw), dtype=np.float64)
    assert fast is None or (fast + 0.0).tobytes() == (slow + 0.0).tobytes()


@pytest.mark.parametrize("body", [*JSON_BODIES, *VECTOR_BODIES])
def test_json_table_takes_each_of_the_undamaged(body: bytes) -> None:
    assert read_json_table(body, SCHEMA, MAX_ITEMS) is not None


@pytest.mark.parametrize("body", CSV_BODIES)
def test_csv_table_takes_each_of_the_undamaged(body: bytes) -> None:
    assert read_csv_table(body, SCHEMA, MAX_ITEMS) is not None


@pytest.mark.parametrize("with_ids", [False, True])
@pytest.mark.parametrize("piece_bytes", [1, 700, 1 << 18])
def test_tables_of_many_pieces_are_read_whole_and_in_order(
    creditcard: Bundle, monkeypatch: pytest.MonkeyPatch, piece_bytes: int, with_ids: bool
) -> None:
    monkeypatch.setattr("core.csv_table.PIECE_BYTES", piece_bytes)
    monkeypatch.setattr(json_table, "PIECE_BYTES", piece_bytes)
    schema = TransactionSchema(creditcard.manifest.fields)
    ids = [f"t-{n}, \u00e4" if with_ids else None for n in range(50)]
    rows = [
        {**({"transaction_id": i} if i else {}), **t}
        for i, t in zip(ids, creditcard.golden.transactions[:50], strict=True)
    ]
    expected = schema.parse_many({"transactions": rows}, 50)
    table = "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)])

    vectors = [
        {**({"transaction_id": i} if i else {}), "features": [t[name] for name in schema.names]}
        for i, t in zip(ids, rows, strict=True)
    ]
    for indent, separators in ((None, None), (None, (",", ":")), (2, None)):
        for form in (rows, vectors):
            body = json.dumps({"transactions": form}, indent=indent, separators=separators, ensure_ascii=False).encode()
            assert outcome(lambda raw: read_json_table(raw, schema, 50), body) == outcome(lambda _: expected, body)
    if not with_ids:  # a comma in an id needs quotes
        assert outcome(lambda raw: read_csv_table(raw, schema, 50), table.encode()) == outcome(lambda _: expected, b"")


@pytest.mark.parametrize("n_items", [MAX_ITEMS, MAX_ITEMS + 1])
def test_tables_hold_no_more_than_they_may(n_items: int) -> None:
    row = {"a": 1, "b1": 2, "b2": 3}
    body = json.dumps({"transactions": [row] * n_items}).encode()
    vectors = json.dumps({"transactions": [{"features": [1, 2, 3]}] * n_items}).encode()
    table = b"a,b1,b2\n" + b"1,2,3\n" * n_items

    assert (read_json_table(vectors, SCHEMA, MAX_ITEMS) is None) == (n_items > MAX_ITEMS)
    assert (read_json_table(body, SCHEMA, MAX_ITEMS) is None) == (n_items > MAX_ITEMS)
    assert (read_csv_table(table, SCHEMA, MAX_ITEMS) is None) == (n_items > MAX_ITEMS)


def test_numbers_as_short_as_they_can_be_keep_their_places() -> None:
    """Each word that is compared then reaches back into the key before."""
    rows = [[n % 10, (n + 1) % 10, (n + 2) % 10] for n in range(MAX_ITEMS)]
    body = json.dumps(
        {"transactions": [dict(zip(SCHEMA.names, row, strict=True)) for row in rows]}, separators=(",", ":")
    )

    table = read_json_table(body.encode(), SCHEMA, MAX_ITEMS)

    assert table is not None
    assert table.values.tolist() == rows


def test_fields_without_an_end_are_not_read_as_a_table() -> None:
    schema = TransactionSchema([FieldSpec(name="a", minimum=0.0, maximum=1.7e308)])

    assert read_csv_table(b"a\n1\n", schema, MAX_ITEMS) is None
    assert read_json_table(b'{"transactions":[{"features":[1]}]}', schema, MAX_ITEMS) is None


@pytest.mark.parametrize("between", [b" " * 200 + b",", b"," + b" " * 200])
def test_objects_with_much_between_them_are_left_to_the_schema(between: bytes) -> None:
    body = b'{"transactions":[' + between.join([b'{"a":1,"b1":2,"b2":3}'] * 3) + b"]}"

    assert read_json_table(body, SCHEMA, MAX_ITEMS) is None
    assert len(read_json_batch(body, SCHEMA, MAX_ITEMS).ids) == 3


def test_object_of_many_bytes_is_left_to_the_schema() -> None:
    body = JSON_BODIES[1].replace(b"6}", b"6" + b" " * 300_000 + b"}")

    assert read_json_table(body, SCHEMA, MAX_ITEMS) is None
    assert len(read_json_batch(body, SCHEMA, MAX_ITEMS).ids) == 3


def test_parser_of_a_thread_goes_on_after_a_fault_and_after_a_large_text() -> None:
    n_large = 4 * PIECE_BYTES

    assert read_numbers([b"[1,2]", b'{"a":[1]}']) is None
    assert read_numbers([b"[1,2]", b"[3,"]) is None
    large = read_numbers([b"[1,2]", b"[" + b"1," * n_large + b"1]"])
    assert large is not None
    assert large.tolist() == [1, 2] + [1] * (n_large + 1)


def test_tables_are_read_in_threads_at_once() -> None:
    bodies = [
        json.dumps({"transactions": [{"features": [n, row, 3]} for row in range(MAX_ITEMS)]}).encode()
        for n in range(40)
    ]

    with ThreadPoolExecutor(4) as threads:
        tables = list(threads.map(lambda body: read_json_table(body, SCHEMA, MAX_ITEMS), bodies * 5))

    assert [table and table.values[:, 0].tolist() for table in tables] == [[n] * MAX_ITEMS for n in range(40)] * 5


def test_fault_in_a_table_is_told_as_ever() -> None:
    body = JSON_BODIES[0].replace(b"2.5", b"-2.5")

    with pytest.raises(InvalidTransactionError) as caught:
        read_json_batch(body, SCHEMA, MAX_ITEMS)
    [issue] = caught.value.issues
    assert (issue.loc, issue.code) == (("body", "transactions", 0, "b1"), "greater_than_equal")
    with pytest.raises(MalformedBodyError, match="duplicate key"):
        read_json_batch(JSON_BODIES[0].replace(b'"b2": 3', b'"b2": 3, "a": 1'), SCHEMA, MAX_ITEMS)
