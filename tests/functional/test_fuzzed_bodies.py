"""Whatever bytes come in: a reply of the contract goes out, and never a 5xx."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.api.errors import PROBLEMS
from core.bundle import Bundle
from core.scoring.embedded import EmbeddedScorer
from tests.app_under_test import app_with
from tests.contract.case import CSV_TYPE, JSON_TYPE, KEY_HEADER, csv_table, json_batch, json_vector
from tests.contract.exchange import Reply, Request
from tests.contract.transports import InProcess, Transport
from tests.tiny_bundle import golden_cases

N_MUTANTS = 1200
"""For each of three kinds of body."""
CODES = {problem.code: problem.status for problem in PROBLEMS.values() if problem.status < 500}
ROWS = golden_cases()["transactions"][:3]
WITH_ID = json.dumps({"transaction_id": "card \u00e9\U0001f4b3", **ROWS[0]}, ensure_ascii=False)
KINDS = {
    "object": ("/predict", JSON_TYPE, WITH_ID),
    "batch": ("/predict/batch", JSON_TYPE, json_batch([WITH_ID, json_vector(ROWS[1])])),
    "table": ("/predict/batch", CSV_TYPE, csv_table(list(ROWS[0]), [list(row.values()) for row in ROWS])),
}
SPLICES = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\\", b"\\u0000", b"NaN", b"1e999", b"-",
    b'"', b"'", b",", b"{", b"}", b"[", b"]", b":", b";", b"null", b"true", b"9" * 310, b"9" * 401, b"\r\n", b"\n\n",
    b'"json":1,',
)  # fmt: skip


@pytest.fixture(scope="module")
def transport(tiny: Bundle) -> Iterator[Transport]:
    with InProcess.open(app_with(tiny, EmbeddedScorer(tiny))) as opened:
        yield opened


def flip(body: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 8)):
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)


def cut(body: bytearray, chance: random.Random) -> None:
    del body[chance.randrange(len(body)) :]


def drop(body: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(body))
    del body[start : start + chance.randint(1, 20)]


def insert(body: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(body) + 1)
        body[place:place] = chance.choice(SPLICES)


def repeat(body: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(body))
    part = body[start : start + chance.randint(1, 60)]
    body[start:start] = part * chance.randint(1, 5)


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (flip, cut, drop, insert, repeat)


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_body_is_scored_or_refused_by_the_contract(transport: Transport, kind: str) -> None:
    target, media_type, text = KINDS[kind]
    chance = random.Random(f"{kind} 20261123")
    statuses = set()
    for _ in range(N_MUTANTS):
        body = bytearray(text.encode())
        chance.choice(MUTATIONS)(body, chance)
        reply = transport.send(Request("POST", target, (KEY_HEADER, media_type), bytes(body)))
        check(reply)
        statuses.add(reply.status)
    assert statuses == {200, 400, 422}  # the mutants are neither all good nor all hopeless


@settings(max_examples=300)
@given(st.binary(max_size=300), st.sampled_from(sorted(KINDS)))
def test_random_bytes_are_refused_by_the_contract(transport: Transport, body: bytes, kind: str) -> None:
    target, media_type, _ = KINDS[kind]

    check(transport.send(Request("POST", target, (KEY_HEADER, media_type), body)))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["transactions", "features", "transaction_id", *ROWS[0]]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(JSON_VALUES, st.sampled_from(["/predict", "/predict/batch"]))
def test_any_json_of_known_names_is_answered_by_the_contract(transport: Transport, value: object, target: str) -> None:
    check(transport.send(Request("POST", target, (KEY_HEADER, JSON_TYPE), json.dumps(value).encode())))


def check(reply: Reply) -> None:
    document = reply.json()
    if reply.status == 200:
        for prediction in document.get("predictions", [document]):
            assert 0 <= prediction["fraud_score"] <= 1
        return
    assert CODES[document["code"]] == reply.status
    assert reply.header("content-type") == "application/problem+json"
    assert b"fraud_score" not in reply.body
    for error in document.get("errors", []):
        names = {part for part in error["loc"] if not isinstance(part, int)}
        assert names <= {"body", "transactions", "transaction_id", "features", "<unknown>", *ROWS[0]}
