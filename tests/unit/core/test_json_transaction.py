"""One transaction, validated while it is parsed: what is accepted is what the slow way accepts, bit for bit."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.bundle import Bundle
from core.json_document import read_json
from core.json_transaction import read_json_transaction
from core.preprocessing import FieldSpec
from core.settings import Settings
from core.transactions import Transactions, TransactionSchema, tabulate
from tests.unit.core.test_tables import SCHEMA, damaged, numbers, outcome

BODIES = [
    b'{"a": 1, "b1": 2.5, "b2": -0.0}',
    b' {\n "transaction_id" : "t-1", "b2":1,"a":-1e-7,"b1":1E+2 } ',
    b'{"transaction_id":"\xc3\xa4:, {\\"a\\":1}","a":1,"b1":2,"b2":3}',
    b'{"transaction_id":"urn:tx:1","a":1,"b1":2,"b2":3}',
    b'{"transaction_id":null,"a":1,"b1":2,"b2":3}',
    b'{"features":[1,2.5,3],"transaction_id":"x"}',
]
OPTIONAL = TransactionSchema([
    FieldSpec(name="a", minimum=-1.0, maximum=9.0),
    FieldSpec(name="b", minimum=-1.0, maximum=9.0, if_missing=7.5),
])  # fmt: skip


def fast(body: bytes, schema: TransactionSchema = SCHEMA) -> Transactions:
    return tabulate([read_json_transaction(body, schema)])


def slow(body: bytes, schema: TransactionSchema = SCHEMA) -> Transactions:
    return tabulate([schema.parse_one(read_json(body))])


@given(damaged(BODIES))
@example(b'{"a":1,"a":2,"b1":3,"b2":4}')
@example(b'{"a":1,"b1":3,"b2":4,"b2":4}')
@example(b'{"a" :1,"a" :2,"b1" :3,"b2" :4}')
@example(b'{"transaction_id":"\\u003a","a":1,"a":2,"b1":3,"b2":4}')
@example(b'{"transaction_id":":","transaction_id":"x","a":1,"b1":3,"b2":4}')
@example(b'{"transaction_id":"x","transaction_id":":","a":1,"b1":3,"b2":4}')
@example(b'{"\\u0061":1,"b1":3,"b2":4}')
@example(b'{"a":1,"b1":3,"b2":true}')
@example(b'{"a":1,"b1":3,"b2":"1"}')
@example(b'{"a":1,"b1":3,"b2":null}')
@example(b'{"a":1,"b1":3,"b2":[4]}')
@example(b'{"a":1,"b1":3,"b2":NaN}')
@example(b'{"a":Infinity,"b1":3,"b2":4}')
@example(b'{"a":1e999,"b1":3,"b2":4}')
@example(b'{"a":1,"b1":3,"b2":4}{}')
@example(b'{"a":1,"b1":3,"b2":4,"field_0":1}')
@example(b'\xef\xbb\xbf{"a":1,"b1":3,"b2":4}')
@example(b'{"transaction_id":"\xff","a":1,"b1":3,"b2":4}')
@example(b'{"transaction_id":"\\ud800","a":1,"b1":3,"b2":4}')
@example(b'{"transaction_id":"' + b"x" * 129 + b'","a":1,"b1":3,"b2":4}')
@example(b'{"transaction_id":"' + b"\xc3\xa4" * 128 + b'","a":1,"b1":3,"b2":4}')
@example(b'{"a":1' + b"0" * 30 + b',"b1":3,"b2":4}')
@example(b'{"a":1' + b"0" * 5000 + b',"b1":3,"b2":4}')
@example(b'{"a":1,"b1":3,"b2":' + b"[" * 300 + b"}")
@hypothesis_settings(max_examples=1500)
def test_transaction_is_read_as_the_schema_reads_the_document(body: bytes) -> None:
    assert outcome(fast, body) == outcome(slow, body)


@given(numbers)
def test_number_has_the_same_bits_by_either_way(text: str) -> None:
    body = b'{"a":%b,"b1":1,"b2":1}' % text.encode()

    assert outcome(fast, body) == outcome(slow, body)


@given(st.dictionaries(st.sampled_from(["a", "b", "c", "transaction_id"]), st.sampled_from([1, 1.5, None, "x:"])))
def test_optional_field_may_be_absent_or_null(fields: dict[str, object]) -> None:
    body = json.dumps(fields).encode()

    assert outcome(lambda raw: fast(raw, OPTIONAL), body) == outcome(lambda raw: slow(raw, OPTIONAL), body)


@pytest.mark.parametrize("body", [BODIES[0], BODIES[1], BODIES[3], BODIES[4]])
def test_transaction_without_fault_is_read_at_once(body: bytes) -> None:
    assert SCHEMA.parse_plain(body) is not None
    assert OPTIONAL.parse_plain(b'{"a":1}') is not None


@pytest.mark.parametrize("body", [b'{"a":1,"a":2,"b1":3,"b2":4}', BODIES[2], BODIES[5]])
def test_name_that_may_come_twice_and_other_forms_are_left_to_the_slow_way(body: bytes) -> None:
    assert SCHEMA.parse_plain(body) is None


def peak_of(read: Callable[[bytes], object], body: bytes) -> int:
    """Return how many bytes more than before were in use at most."""
    tracemalloc.start()
    try:
        read(body)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("n_names", [1, 30])
def test_body_is_not_copied_for_each_name_that_it_lacks(creditcard: Bundle, n_names: int) -> None:
    schema = TransactionSchema(creditcard.manifest.fields)
    body = b"{%b}" % b",".join(b'"other%d":[%b[]]' % (n, b"[]," * (6000 // n_names)) for n in range(n_names))
    assert len(body) < Settings.model_fields["max_body_bytes"].default

    assert schema.parse_plain(body) is None
    assert peak_of(schema.parse_plain, body) < 2 * peak_of(read_json, body)
