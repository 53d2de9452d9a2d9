"""T1 to T9 of the promises: what callers get, and how often the endpoint is asked, for each way in which it fails.

Each runs 1,000 requests from 16 callers through the whole app. Where that would take minutes, a scaled-down run is
among the ordinary tests and the full one carries the marker `soak`.
"""

from __future__ import annotations

import gc
import io
import json
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from core.bundle import Bundle
from core.scoring.sagemaker import SageMakerScorer
from tests.app_under_test import app_with
from tests.contract.case import predict
from tests.contract.transports import InProcess
from tests.sagemaker.conftest import MakeScorer
from tests.sagemaker.load import CALLERS, Load, load_of, wakings
from tests.sagemaker_runtime import faults
from tests.sagemaker_runtime.faults import Fault
from tests.sagemaker_runtime.server import Runtime, serving

N = 1000
DEADLINE_S = 2.0
FULL = pytest.param(N, marks=pytest.mark.soak)


@pytest.fixture
def meet(runtime: Runtime, make_scorer: MakeScorer, creditcard: Bundle) -> Callable[..., Load]:
    """Return a function that sends requests while the endpoint fails in one way."""

    def run(fault: Fault, n_requests: int = N, scorer: SageMakerScorer | None = None) -> Load:
        runtime.forget()
        runtime.script = faults.always(fault)
        load = load_of(creditcard, scorer or make_scorer(), n_requests)
        print(f"\n{load}; {runtime.hits} calls")
        load.check_contract()
        return load

    return run


Meet = Callable[..., Load]


# T1


@pytest.mark.parametrize("coalesce", [True, False])
def test_model_error_is_502_and_never_tried_again(
    meet: Meet, make_scorer: MakeScorer, runtime: Runtime, event_lines: io.StringIO, coalesce: bool
) -> None:
    load = meet(faults.MODEL_ERROR, scorer=make_scorer(coalesce=coalesce))
    log = event_lines.getvalue()

    assert load.statuses() == {502: N}
    assert load.codes() == {"upstream_model_error": N}
    assert sum(runtime.rows) == N
    assert (runtime.hits == N) == (not coalesce)
    assert "upstream_model_error" in log
    assert "secret" not in log


# T2


def test_throttling_is_503_with_a_time_to_come_back(meet: Meet, runtime: Runtime) -> None:
    load = meet(faults.THROTTLED)

    assert load.codes() == {"upstream_throttled": N}
    assert load.statuses() == {503: N}
    assert runtime.hits <= N
    assert load.percentile(0.99) <= 2.1


# T3


@pytest.mark.parametrize("fault", ["UNAVAILABLE", "INTERNAL_FAILURE", "BAD_GATEWAY"])
@pytest.mark.parametrize("coalesce", [True, False])
def test_outage_is_503_and_the_endpoint_is_left_alone(
    meet: Meet, make_scorer: MakeScorer, runtime: Runtime, fault: str, coalesce: bool
) -> None:
    load = meet(getattr(faults, fault), scorer=make_scorer(coalesce=coalesce))

    assert load.codes() == {"upstream_unavailable": N}
    assert load.statuses() == {503: N}
    assert 20 <= runtime.hits <= 150
    answers_after_opening = load.outcomes[-(N - 20 * CALLERS) :]
    assert sum(each.seconds < 0.02 for each in answers_after_opening) >= 0.9 * len(answers_after_opening)


# T4


@pytest.mark.parametrize("down_s", [1.0, pytest.param(5.0, marks=pytest.mark.soak)])
def test_endpoint_that_was_not_ready_is_used_as_soon_as_it_is(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, down_s: float
) -> None:
    runtime.script = faults.for_seconds(faults.NOT_READY, down_s)
    recovery, scorer = time.monotonic() + down_s, make_scorer()

    while (load := load_of(creditcard, scorer, CALLERS)).codes() == {"model_not_ready": CALLERS}:
        assert load.statuses() == {503: CALLERS}
        load.check_contract()
        time.sleep(0.05)

    print(f"\nscores {time.monotonic() - recovery:.2f} s after its recovery")
    assert -0.2 <= time.monotonic() - recovery <= 6
    assert load_of(creditcard, scorer, CALLERS).codes() == {"ok": CALLERS}


def test_endpoint_that_was_down_is_used_again_within_two_rests(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    scorer = make_scorer()
    runtime.script = faults.always(faults.UNAVAILABLE)
    assert "ok" not in load_of(creditcard, scorer, 200).codes()
    runtime.forget()
    recovery = time.monotonic()

    while load_of(creditcard, scorer, CALLERS).codes() != {"ok": CALLERS}:
        time.sleep(0.05)

    assert time.monotonic() - recovery <= 4


# T5


def open_things() -> tuple[int, int]:
    """Return the number of open files and of threads."""
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208


@pytest.mark.parametrize(
    "fault",
    [faults.keeps_silent, faults.drips(0.8, headers=True), faults.resets, faults.closes],
    ids=["black hole", "dripped header", "reset", "closed"],
)
@pytest.mark.parametrize("n_requests", [CALLERS, FULL])
def test_endpoint_that_hangs_or_breaks_off_costs_no_more_than_the_deadline(
    meet: Meet, make_scorer: MakeScorer, creditcard: Bundle, fault: Fault, n_requests: int
) -> None:
    scorer = make_scorer()
    load_of(creditcard, scorer, 10 * CALLERS)
    before = open_things()

    load = meet(fault, n_requests, scorer)

    assert set(load.statuses()) <= {503, 504}
    assert load.percentile(0.99) <= 2.1
    assert max(load.seconds()) <= 2.5
    deadline = time.monotonic() + 10
    while any(now > then + 2 for now, then in zip(open_things(), before, strict=True)):
        assert time.monotonic() < deadline, (before, open_things())
        time.sleep(0.1)


@contextmanager
def swallowing_address() -> Iterator[str]:
    """Give an address whose queue of connections is full, so that the kernel drops the next ones in silence."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_endpoint_that_refuses_connections_is_503(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(Runtime({})) as stopped:
        pass
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", stopped.url)

    load = load_of(creditcard, make_scorer(), N)

    load.check_contract()
    assert load.codes() == {"upstream_unavailable": N}
    assert max(load.seconds()) <= 2.5


def test_address_that_swallows_connections_is_503_or_504(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with swallowing_address() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", url)
        load = load_of(creditcard, make_scorer(), 2 * CALLERS)

    load.check_contract()
    assert set(load.statuses()) <= {503, 504}
    assert max(load.seconds()) <= 2.5


# T6


@pytest.mark.parametrize(
    "fault",
    [faults.drips(0.8), faults.stalls_after_headers, faults.stalls_in_error],
    ids=["dripped body", "stalled body", "stalled error"],
)
@pytest.mark.parametrize("n_requests", [CALLERS, FULL])
def test_reply_that_does_not_end_is_504_at_the_deadline(meet: Meet, fault: Fault, n_requests: int) -> None:
    with wakings() as machine:
        load = meet(fault, n_requests)
    print(f"a thread that only slept was woken up to {machine.latest_s:.3f} s late")

    assert load.statuses() == {504: n_requests}
    assert DEADLINE_S - 0.2 <= min(load.seconds())
    assert max(load.seconds()) <= DEADLINE_S + 0.2 + machine.latest_s


def test_reply_that_is_cut_off_is_502(meet: Meet) -> None:
    assert meet(faults.truncates).codes() == {"upstream_invalid_response": N}


# T7

GARBAGE = {
    "empty": faults.says(b""),
    "HTML": faults.says(b"<html><body>OK</body></html>", "text/html"),
    "nan": faults.says(b"nan"),
    "inf": faults.says(b"inf"),
    "below 0": faults.says(b"-0.1"),
    "above 1": faults.says(b"1.0001"),
    "a row too few": faults.edits(lambda body: b",".join(body.split(b",")[1:])),
    "a row too many": faults.edits(lambda body: body + b",0.5"),
    "more columns": faults.edits(lambda body: b"\n".join(cell + b",0.5" for cell in body.split(b","))),
    "UTF-16": faults.edits(lambda body: body.decode().encode("utf-16")),
    "other JSON": faults.says(b'{"message": "ok"}', "application/json"),
    "redirect": faults.REDIRECT,
}


@pytest.mark.parametrize("fault", GARBAGE.values(), ids=GARBAGE)
def test_reply_that_is_no_score_is_502(meet: Meet, runtime: Runtime, fault: Fault) -> None:
    assert meet(fault, 200).codes() == {"upstream_invalid_response": 200}
    assert sum(runtime.rows) == 200


@pytest.mark.parametrize("n_requests", [2 * CALLERS, pytest.param(200, marks=pytest.mark.slow)])
def test_reply_without_an_end_is_502_and_not_held_in_memory(meet: Meet, n_requests: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert meet(faults.floods, n_requests).codes() == {"upstream_invalid_response": n_requests}

    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 64


def test_tiny_score_that_rounds_to_zero_is_a_score(meet: Meet, make_scorer: MakeScorer) -> None:
    assert meet(faults.says(b"1e-400"), 200, make_scorer(coalesce=False)).codes() == {"ok": 200}


# T8


@pytest.mark.parametrize("n_requests", [1000, pytest.param(50_000, marks=pytest.mark.soak)])
@pytest.mark.parametrize("coalesce", [True, False])
def test_one_retry_within_its_budget_hides_faults_that_pass(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, n_requests: int, coalesce: bool
) -> None:
    passing = (faults.UNAVAILABLE, faults.INTERNAL_FAILURE, faults.BAD_GATEWAY, faults.resets, faults.closes)
    runtime.script = faults.Mixture(0.05, passing, seed=8)

    load = load_of(creditcard, make_scorer(coalesce=coalesce), n_requests)

    print(f"\n{load}; {runtime.hits} calls")
    load.check_contract()
    # A shared call that fails twice fails all of its rows: few calls make for a wide spread.
    assert load.codes()["ok"] >= (0.98 if coalesce and n_requests < 50_000 else 0.996) * n_requests
    assert runtime.hits <= 1.06 * n_requests
    assert len({each.transaction_id for each in load.outcomes}) == n_requests


# T9


def test_missing_endpoint_is_our_fault_and_not_the_callers(meet: Meet, runtime: Runtime) -> None:
    load = meet(faults.MISSING_ENDPOINT)

    assert load.statuses() == {503: N}
    assert load.codes() == {"endpoint_misconfigured": N}
    assert sum(runtime.rows) == N


def test_missing_endpoint_is_counted_for_the_alarm(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime, capsys: pytest.CaptureFixture[str]
) -> None:
    runtime.script = faults.always(faults.MISSING_ENDPOINT)
    app, transaction = app_with(creditcard, make_scorer()), predict(json.dumps(creditcard.golden.transactions[0]))
    with InProcess.open(app) as transport:
        assert [transport.send(transaction).status for _ in range(3)] == [503] * 3
    capsys.readouterr()

    app.state.metrics.flush()

    sums = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["ScorerErrors"] for line in sums if "ScorerErrors" in line] == [[3.0]]
    assert [line["Errors"] for line in sums if line.get("code") == "endpoint_misconfigured"] == [[3.0]]
