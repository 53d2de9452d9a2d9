"""Whatever bytes come in: a reply of the contract goes out, and never a 5xx."""

from __future__ import annotations

import gc
import http.client
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.api.errors import PROBLEMS
from core.bundle import Bundle, load_bundle
from core.scoring.embedded import EmbeddedScorer
from tests.app_under_test import KEY, app_with
from tests.contract.case import CSV_TYPE, JSON_TYPE, KEY_HEADER, csv_table, json_batch, json_vector
from tests.contract.exchange import Reply, Request
from tests.contract.transports import TRANSPORTS, InProcess, Transport
from tests.processes import serving
from tests.tiny_bundle import golden_cases

N_MUTANTS = 1200
"""For each of three kinds of body."""
MIB = 1 << 20
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


def mutant(text: str, chance: random.Random) -> bytes:
    body = bytearray(text.encode())
    chance.choice(MUTATIONS)(body, chance)
    return bytes(body)


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_body_is_scored_or_refused_by_the_contract(transport: Transport, kind: str) -> None:
    target, media_type, text = KINDS[kind]
    chance = random.Random(f"{kind} 20261123")
    statuses = set()
    for _ in range(N_MUTANTS):
        reply = transport.send(Request("POST", target, (KEY_HEADER, media_type), mutant(text, chance)))
        check(reply)
        statuses.add(reply.status)
    assert statuses == {200, 400, 422}  # the mutants are neither all good nor all hopeless


@settings(max_examples=300)
@given(st.binary(max_size=300), st.sampled_from(sorted(KINDS)))
def test_random_bytes_are_refused_by_the_contract(transport: Transport, body: bytes, kind: str) -> None:
    target, media_type, _ = KINDS[kind]

    check(transport.send(Request("POST", target, (KEY_HEADER, media_type), body)))


class KeptConnection:
    """Sends over one connection, opened anew only where the server said that it closes it."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.close = self._connection.close

    def send(self, request: Request) -> Reply:
        headers = {name.decode(): value.decode() for name, value in request.headers}
        self._connection.request(request.method, request.target, request.body, headers)
        response = self._connection.getresponse()
        sent = tuple((name.lower(), value) for name, value in response.getheaders())
        return Reply(response.status, sent, response.read())


@contextmanager
def server_process(folder: Path, tiny: Path) -> Iterator[tuple[Transport, psutil.Process]]:
    settings = {"API_KEY": KEY, "MODEL_BUNDLE": str(tiny), "LOG_LEVEL": "ERROR"}
    with serving(folder, **settings) as server, closing(KeptConnection(server.port)) as connection:
        yield connection, psutil.Process(server.process.pid)
        assert server.stop() == 0
        assert server.err.read_text() == ""
        assert "internal" not in server.out.read_text()


@contextmanager
def lambda_handler(folder: Path, tiny: Path) -> Iterator[tuple[Transport, psutil.Process]]:
    bundle = load_bundle(tiny)
    with TRANSPORTS["http-v2"](app_with(bundle, EmbeddedScorer(bundle))) as opened:
        yield opened, psutil.Process()


Opened = AbstractContextManager[tuple[Transport, psutil.Process]]
FAMILIES: dict[str, Callable[[Path, Path], Opened]] = {"uvicorn": server_process, "lambda": lambda_handler}


def fuzz(transport: Transport, n_bodies: int, chance: random.Random) -> Counter[int]:
    """Send so many bodies, one in ten of them of random bytes; return how often each status came back."""
    statuses: Counter[int] = Counter()
    for _ in range(n_bodies):
        target, media_type, text = KINDS[chance.choice(list(KINDS))]
        body = chance.randbytes(chance.randrange(300)) if chance.random() < 0.1 else mutant(text, chance)
        reply = transport.send(Request("POST", target, (KEY_HEADER, media_type), body))
        check(reply)
        statuses[reply.status] += 1
    return statuses


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("n_bodies", [1_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_fuzzed_bodies_break_no_connection_and_leave_no_memory_behind(
    tmp_path: Path, tiny_path: Path, capsys: pytest.CaptureFixture[str], family: str, n_bodies: int
) -> None:
    chance = random.Random(n_bodies)
    with FAMILIES[family](tmp_path, tiny_path) as (transport, process):
        fuzz(transport, 500, chance)  # caches are full by then
        gc.collect()
        before = process.memory_info().rss
        statuses = Counter[int]()
        for _ in range(10):
            statuses += fuzz(transport, n_bodies // 10, chance)
            capsys.readouterr()  # the metrics of each invocation
        gc.collect()
        growth = (process.memory_info().rss - before) / MIB
    with capsys.disabled():
        print(f"\n{family}: {n_bodies} bodies: {dict(statuses)}; memory {before / MIB:.0f} MiB, {growth:+.1f} MiB")
    assert set(statuses) == {200, 400, 422}
    assert statuses.total() == n_bodies
    assert growth <= 32


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
