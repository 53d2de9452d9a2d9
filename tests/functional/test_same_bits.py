"""A transaction scores the same bits alone, in any batch, at any place, in every form, in any order of keys."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from core.api.app import create_app
from core.service import ScoringService
from tests.app_under_test import settings_of_tests
from tests.contract.case import Row, batch, csv_table, json_batch, post, predict, table
from tests.contract.rows import Rows, shipped_rows
from tests.contract.transports import InProcess, Transport

N_GROUPS, ROWS_PER_GROUP = 50, 20
"""1,000 transactions in all, of hypothesis' making: with the edges of ranges, tiny and huge values among them."""
BATCH_SIZE = 1000
ROWS: Rows = shipped_rows()

FORMS = ("object", "vector", "csv")
KEY_ORDERS = [random.Random(seed).sample(ROWS.names, len(ROWS.names)) for seed in range(500)]
TRANSACTIONS = st.tuples(*(st.floats(ROWS.minima[name], ROWS.maxima[name]) for name in ROWS.names))
USUAL = st.sampled_from(ROWS.golden).map(lambda row: tuple(row.values()))


@pytest.fixture(scope="module")
def transport(service: ScoringService) -> Iterator[Transport]:
    limits = {"max_explained_items": len(ROWS.golden), "max_batch_items": BATCH_SIZE, "max_batch_body_bytes": 4 << 20}
    app: FastAPI = create_app(service, settings_of_tests(**limits))
    with InProcess.open(app) as opened:
        yield opened


GROUPS = given(
    rows=st.lists(TRANSACTIONS | USUAL, min_size=ROWS_PER_GROUP, max_size=ROWS_PER_GROUP),
    places=st.lists(st.integers(0, BATCH_SIZE - 1), min_size=ROWS_PER_GROUP, max_size=ROWS_PER_GROUP, unique=True),
    form=st.sampled_from(FORMS),
    seed=st.integers(0, 2**32),
)


@settings(max_examples=N_GROUPS)
@GROUPS
def test_fraud_score_alone_and_in_a_batch_of_1000_is_the_same(
    transport: Transport, rows: list[tuple[float, ...]], places: list[int], form: str, seed: int
) -> None:
    check_group(transport, rows, places, form, seed)


@pytest.mark.soak
def test_fraud_scores_of_10000_transactions_are_the_same(transport: Transport) -> None:
    n_checked = 0

    @settings(max_examples=10 * N_GROUPS)
    @GROUPS
    def check(rows: list[tuple[float, ...]], places: list[int], form: str, seed: int) -> None:
        nonlocal n_checked
        check_group(transport, rows, places, form, seed)
        n_checked += len(rows)

    check()
    print(f"\n{n_checked} transactions alone and in batches of {BATCH_SIZE}: every bit the same")
    assert n_checked >= 10_000


def check_group(transport: Transport, rows: list[tuple[float, ...]], places: list[int], form: str, seed: int) -> None:
    shuffle = random.Random(seed)
    transactions = [dict(zip(ROWS.names, row, strict=True)) for row in rows]
    everything = [*FILLERS]
    for place, transaction in zip(places, transactions, strict=True):
        everything[place] = transaction

    together = score_together(transport, everything, form, shuffle)

    assert len(together) == BATCH_SIZE
    for place, transaction in zip(places, transactions, strict=True):
        alone = score_alone(transport, transaction, shuffle)
        # `repr` tells every bit of a float, also the sign of zero.
        assert repr(together[place]) == repr(alone)


def score_alone(transport: Transport, transaction: Row, shuffle: random.Random) -> float:
    form = shuffle.choice(FORMS)
    if form == "csv":
        return score_together(transport, [transaction], form, shuffle)[0]
    reply = transport.send(predict(written(transaction, form, shuffle)))
    assert reply.status == 200, reply.body
    return float(reply.json()["fraud_score"])


def score_together(transport: Transport, transactions: list[Row], form: str, shuffle: random.Random) -> list[float]:
    if form == "csv":
        names = shuffle.choice(KEY_ORDERS)
        request = table(csv_table(names, [[repr(row[name]) for name in names] for row in transactions]))
    else:
        texts = [_WRITTEN[form].get(id(row)) or written(row, form, shuffle) for row in transactions]
        request = batch(json_batch(texts))
    reply = transport.send(request)
    assert reply.status == 200, reply.body
    return [prediction["fraud_score"] for prediction in reply.json()["predictions"]]


def written(transaction: Row, form: str, shuffle: random.Random) -> str:
    if form == "vector":
        return json.dumps({"features": list(transaction.values())})
    names = shuffle.choice(KEY_ORDERS)
    return json.dumps({name: transaction[name] for name in names})


FILLERS = ROWS.many(BATCH_SIZE)
_WRITTEN = {form: {id(row): written(row, form, random.Random(7)) for row in ROWS.golden} for form in FORMS[:2]}
"""The fillers' texts: written once, since they are the same in all batches."""


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 31, 255, 256, 257, 1000])
def test_fraud_score_at_every_place_of_batches_of_several_sizes_is_the_same(transport: Transport, size: int) -> None:
    """The sizes go around those at which scoring takes another way."""
    scores = score_together(transport, [ROWS.fraud] * size, "vector", random.Random(1))

    assert {repr(score) for score in scores} == {repr(score_alone(transport, ROWS.fraud, random.Random(1)))}


def test_reasons_alone_and_in_a_batch_are_the_same(transport: Transport) -> None:
    def ask(target: str, body: str) -> dict[str, Any]:
        reply = transport.send(post(f"{target}?explain=true", body))
        assert reply.status == 200, reply.body
        return dict(reply.json())

    texts = [json.dumps(row) for row in ROWS.golden]
    together = ask("/predict/batch", json_batch(texts))["predictions"]

    assert len(together) == len(texts) >= 50
    for text, prediction in zip(texts, together, strict=True):
        alone = ask("/predict", text)
        assert repr(alone["reasons"]) == repr(prediction["reasons"])
        assert repr(alone["fraud_score"]) == repr(prediction["fraud_score"])
