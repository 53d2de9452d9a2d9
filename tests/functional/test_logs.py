"""Nothing that a caller sent is ever written, at DEBUG, on any path; and what is written is one JSON object a line."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import errors
from core.bundle import Bundle
from core.observability import LogFields
from core.scoring.static import StaticScorer
from tests.app_under_test import (
    KEY,
    MAX_BATCH_BODY_BYTES,
    MAX_BATCH_ITEMS,
    MAX_BODY_BYTES,
    MAX_EXPLAINED_ITEMS,
    MORE_KEYS,
    OTHER_KEY,
    PREDICT_KEY,
    app_with,
)
from tests.contract.case import CSV_TYPE, JSON_TYPE, KEY_HEADER, batch, csv_table, json_batch, predict, table
from tests.contract.exchange import Request
from tests.contract.made_up import made_up_values
from tests.contract.table import ROWS, TABLE
from tests.contract.transports import InProcess, Socket
from tests.processes import serving

CARD = "4111111111111111"
DIGITS = "482913"
"""In every number that is sent below: `7391.482913` and the like."""
WORD = "CaNaRy"
CANARIES = (CARD, DIGITS, WORD, WORD.lower(), WORD.upper(), KEY, OTHER_KEY, PREDICT_KEY)
MEASURED = {
    "timestamp",
    "_aws",
    "latency_ms",
    "score_ms",
    "explain_ms",
    "RequestLatency",
    "ScoreLatency",
    "ExplainLatency",
}
LINE_FIELDS = {"level", "message", "timestamp", "service"}

ROW = {name: float(f"{index % 10}.{DIGITS}{index}") for index, name in enumerate(ROWS.names, 10)}
TEXT = json.dumps({"transaction_id": f"{WORD}-{CARD}", **ROW})


@dataclass(frozen=True)
class Written:
    """What a server printed while it met all of the requests, and the statuses that it answered with."""

    out: str
    err: str
    statuses: set[int]

    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    def text(self) -> str:
        """Return all that was printed but what was measured, whose digits may be any."""
        kept = [{name: value for name, value in line.items() if name not in MEASURED} for line in self.objects()]
        return json.dumps(kept) + self.err


def bad_bodies() -> list[Request]:
    values = [f"{CARD}.{DIGITS}x", True, None, [float(f"1.{DIGITS}")], float(f"9{DIGITS}e32"), {WORD: CARD}]
    fields = [predict(json.dumps({**ROW, ROWS.names[1]: value})) for value in values]
    return [
        *fields,
        *(batch(json_batch([TEXT, request.body.decode()])) for request in fields),
        predict(TEXT.replace("{", f'{{"{WORD}": {CARD}, ', 1)),
        predict(TEXT.replace("{", f'{{"{CARD}": 1, "{CARD}": 2, ', 1)),
        predict(TEXT + CARD),
        predict(TEXT[:-10] + WORD),
        predict(TEXT.replace(WORD, f"{WORD}\\ud800")),
        predict(TEXT.encode().replace(WORD.encode(), WORD.encode() + b"\xff")),
        predict(json.dumps({"features": [*ROW.values(), float(CARD)]})),
        batch(json_batch([TEXT] * (MAX_BATCH_ITEMS + 1))),
        predict(TEXT.ljust(MAX_BODY_BYTES + 1, "4")),
        Request("POST", "/predict/batch", (KEY_HEADER, JSON_TYPE), chunks=(TEXT.encode(),) * 400),
    ]


def tables() -> list[Request]:
    header, cells = ["transaction_id", *ROW], [f"{WORD}{CARD}", *ROW.values()]
    return [
        table(csv_table(header, [cells] * 3)),
        table(csv_table([*header, WORD], [[*cells, CARD]])),
        table(csv_table(header, [[*cells, CARD]])),
        table(csv_table(header, [[*cells[:-1], f'"{CARD}']])),
        table(csv_table(header, [[*cells[:-1], f"{DIGITS}{WORD}"]])),
        table(csv_table([CARD, *header[1:]], [cells])),
    ]


def odd_heads() -> list[Request]:
    """Canaries in each part of a request's head."""
    card, word = CARD.encode(), WORD.encode()
    usual = (
        b"user-agent referer cookie authorization x-forwarded-for forwarded accept x-amzn-trace-id traceparent "
        b"origin if-none-match x-canary-" + word
    )
    everywhere = tuple((name, word + card) for name in usual.split())
    request_ids = (
        word + b" " + card,
        b'{"level":"' + word + b'"}',
        b"\x1b[31m" + word,
        word * 1000,
        b"\xe9" + word,
        b"a" + b"\t" + word,
    )
    trace = b"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=" + word
    return [
        predict(TEXT, headers=(KEY_HEADER, JSON_TYPE, *everywhere)),
        predict(TEXT, headers=(KEY_HEADER, JSON_TYPE, (b"x-amzn-trace-id", trace))),
        predict(TEXT, headers=(KEY_HEADER, (b"content-type", b"text/" + word))),
        predict(TEXT, headers=(KEY_HEADER, JSON_TYPE, (b"content-encoding", word))),
        predict(TEXT, headers=((b"x-api-key", word + card), JSON_TYPE)),
        predict(TEXT, headers=((b"x-api-key", KEY.encode() + b"\xff"), JSON_TYPE)),
        *(predict(TEXT, headers=(KEY_HEADER, JSON_TYPE, (b"x-request-id", value))) for value in request_ids),
        *(Request("GET", "/model", ((b"x-request-id", value),)) for value in request_ids),
        Request("GET", f"/{WORD}/{CARD}", (KEY_HEADER,)),
        Request("GET", f"/{WORD}%0d%0a{CARD}?{WORD}={CARD}", (KEY_HEADER,)),
        Request("GET", f"/health?{WORD}={CARD}"),
        Request("GET", f"/health/ready?{WORD}={CARD}"),
        Request("POST", f"/predict?x-api-key={KEY}", (JSON_TYPE,), TEXT.encode()),
        Request("DELETE", f"/predict?{CARD}", (KEY_HEADER,)),
        Request(WORD.upper(), "/predict", (KEY_HEADER,)),
        Request("GET", "/model", (KEY_HEADER, (b"bad header " + word, card))),
    ]


@pytest.fixture(scope="module", params=[0, pytest.param(10_000, marks=pytest.mark.soak)])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Send everything above, and the whole contract table, to a real server at DEBUG: once, or so many requests."""
    folder: Path = tmp_path_factory.mktemp("server")
    settings = {
        "API_KEY": f"{KEY},{MORE_KEYS}",
        "LOG_LEVEL": "DEBUG",
        "AUTH_FAILURES_PER_MINUTE": "0",
        "MAX_BATCH_ITEMS": str(MAX_BATCH_ITEMS),
        "MAX_EXPLAINED_ITEMS": str(MAX_EXPLAINED_ITEMS),
        "MAX_BODY_BYTES": str(MAX_BODY_BYTES),
        "MAX_BATCH_BODY_BYTES": str(MAX_BATCH_BODY_BYTES),
    }
    with serving(folder, **settings) as server:
        ask = Socket(server.port).send
        of_table = [case.request for case in TABLE.values()]
        reasoned = [
            Request("POST", f"{path}?explain={answer}&{WORD}={CARD}", (KEY_HEADER, JSON_TYPE), text.encode())
            for path, text in (("/predict", TEXT), ("/predict/batch", json_batch([TEXT] * 3)))
            for answer in ("true", WORD)
        ]
        requests = [
            predict(TEXT),
            batch(json_batch([TEXT] * 3)),
            *reasoned,
            *bad_bodies(),
            *tables(),
            *odd_heads(),
            *of_table,
        ]
        n_times = -(-request.param // len(requests)) or 1
        statuses = {ask(each).status for _ in range(n_times) for each in requests}
        assert server.stop() == 0
        out, err = server.out.read_text(), server.err.read_text()
    print(f"\n{n_times * len(requests)} requests; {len(out.splitlines())} lines, {len(out)} characters were written")
    return Written(out, err, statuses)


def test_every_kind_of_outcome_was_met(written: Written) -> None:
    assert written.statuses == {200, 400, 401, 403, 404, 405, 413, 415, 422}
    codes = {line.get("error_code") for line in written.objects()}
    assert codes >= {"invalid_json", "unauthorized", "payload_too_large", "too_many_items", "invalid_request"}
    assert len(written.objects()) > len(TABLE)


def test_log_holds_no_canary(written: Written) -> None:
    text = written.text()

    assert [canary for canary in CANARIES if canary in text] == []


def test_log_holds_no_value_of_the_contract_table(written: Written) -> None:
    values = {value for case in TABLE.values() for value in made_up_values(case.request, ROWS.names)}
    telling = {value for value in values if len(value) >= 7}
    text = written.text().encode()

    assert len(telling) > 500
    assert [value for value in telling if value in text] == []


def test_log_is_one_json_object_a_line_and_stderr_stays_empty(written: Written) -> None:
    assert all(isinstance(line, dict) for line in written.objects())
    assert written.err == ""


def test_log_fields_are_those_of_the_allow_list(written: Written) -> None:
    events = [line for line in written.objects() if "_aws" not in line]

    assert {line["level"] for line in events} >= {"DEBUG", "INFO"}
    for line in events:
        assert set(line) - LINE_FIELDS <= set(LogFields.__annotations__)


def test_metrics_have_few_dimensions_from_fixed_sets(written: Written) -> None:
    emf = [line for line in written.objects() if "_aws" in line]

    assert emf
    for line in emf:
        [directive] = line["_aws"]["CloudWatchMetrics"]
        [dimensions] = directive["Dimensions"]
        assert set(dimensions) <= {"service", "code"}
        names = {metric["Name"] for metric in directive["Metrics"]}
        assert set(line) == {"_aws", *dimensions, *names}


def test_each_request_has_one_line_with_the_id_of_its_reply(tmp_path: Path) -> None:
    with serving(tmp_path, API_KEY=KEY) as server:
        ask = Socket(server.port).send
        replies = [ask(predict(TEXT)), ask(predict(TEXT, headers=(KEY_HEADER, CSV_TYPE))), ask(Request("GET", "/"))]
        server.stop()
        lines = [json.loads(line) for line in server.out.read_text().splitlines()]
    ids = [line["request_id"] for line in lines if line.get("message") == "request"]
    assert ids == [reply.header("x-request-id") for reply in replies]


FAILURES: dict[str, Any] = {
    "scorer": errors.ScorerUnavailableError(f"{WORD} {CARD}"),
    "response": lambda features: np.full(len(features), np.nan),
    "bug": RuntimeError(f"{WORD} {CARD} {DIGITS}"),
    "bug-with-key": KeyError(f"{WORD} {CARD}"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_failure_of_the_scorer_is_logged_without_its_text(
    creditcard: Bundle, event_lines: io.StringIO, capsys: pytest.CaptureFixture[str], failure: str
) -> None:
    app = app_with(creditcard, StaticScorer(FAILURES[failure]), log_level="DEBUG")
    with InProcess.open(app) as transport:
        statuses = {transport.send(request).status for request in (predict(TEXT), batch(json_batch([TEXT])))}
    app.state.metrics.flush()

    everything = event_lines.getvalue() + "".join(capsys.readouterr())
    assert statuses <= {500, 502, 503}
    assert "error_code" in everything
    assert [canary for canary in CANARIES if canary in everything] == []


def test_bug_is_logged_with_the_place_where_it_rose(tiny: Bundle, event_lines: io.StringIO) -> None:
    row = tiny.golden.transactions[0]
    with InProcess.open(app_with(tiny, StaticScorer(RuntimeError(CARD)))) as transport:
        reply = transport.send(predict(json.dumps(row)))

    [line] = [json.loads(each) for each in event_lines.getvalue().splitlines()]
    assert (line["message"], line["error_type"]) == ("internal error", "RuntimeError")
    assert "static.py" in line["error_location"][-1]
    assert line["request_id"] == reply.header("x-request-id")


def test_verb_that_the_caller_made_up_is_not_logged(tiny: Bundle, event_lines: io.StringIO) -> None:
    with InProcess.open(app_with(tiny, StaticScorer(0.5), log_level="INFO")) as transport:
        transport.send(Request(WORD.upper(), "/predict", (KEY_HEADER,)))

    [line] = [json.loads(each) for each in event_lines.getvalue().splitlines()]
    assert (line["method"], line["status"]) == ("<unknown>", 405)


def test_trace_id_of_aws_is_logged_and_nothing_else_of_its_header(tiny: Bundle, event_lines: io.StringIO) -> None:
    root = "1-5759e988-bd862e3fe1be46a994272793"
    with InProcess.open(app_with(tiny, StaticScorer(0.5), log_level="INFO")) as transport:
        of_a_balancer = f"Self=1-67891234-12456789abcdef012345678;Root={root}"
        for value in (of_a_balancer, f"Root={root};Parent={WORD}", CARD, f"Root={CARD}"):
            transport.send(Request("GET", "/model", (KEY_HEADER, (b"x-amzn-trace-id", value.encode()))))

    lines = [json.loads(each) for each in event_lines.getvalue().splitlines()]
    assert [line.get("trace_id") for line in lines] == [root, root, None, None]
