"""What the endpoint scores is what the embedded model scores, however the rows are cut."""

from __future__ import annotations

import asyncio
import gzip

import numpy as np
import pytest

from core.bundle import Bundle
from core.preprocessing import FeatureMatrix
from core.scoring.embedded import EmbeddedScorer
from tests.repository import ROOT
from tests.sagemaker.conftest import MakeScorer
from tests.sagemaker_runtime.server import Runtime

N_ROWS = 10_000
TOLERANCE = 1e-6
REAL_TRANSACTIONS = ROOT.parent / "shared" / "data" / "creditcard_real.csv.gz"


@pytest.fixture(scope="module")
def rows(creditcard: Bundle) -> FeatureMatrix:
    """Real transactions where they lie beside the checkout, made-up ones else."""
    values = _real_values(creditcard) if REAL_TRANSACTIONS.exists() else _made_up_values(creditcard)
    return creditcard.preprocessor.transform(values)


def _real_values(bundle: Bundle) -> np.ndarray:
    with gzip.open(REAL_TRANSACTIONS, "rt") as file:
        header, *lines = file.read().replace('"', "").splitlines()
    columns = [header.split(",").index(name) for name in bundle.field_names]
    picked = [line.split(",") for line in lines[:: len(lines) // N_ROWS][:N_ROWS]]
    return np.array([[float(cells[column]) for column in columns] for cells in picked])


def _made_up_values(bundle: Bundle) -> np.ndarray:
    """Return the golden transactions with noise, and rows all over the declared ranges."""
    generator = np.random.default_rng(20)
    fields = bundle.manifest.fields
    low, high = np.array([field.minimum for field in fields]), np.array([field.maximum for field in fields])
    golden = bundle.golden_values()
    near = golden[generator.integers(len(golden), size=N_ROWS // 2)] + generator.normal(size=(N_ROWS // 2, len(fields)))
    anywhere = generator.uniform(low, high, size=(N_ROWS - len(near), len(fields)))
    return np.concatenate([near.clip(low, high), anywhere])


@pytest.mark.parametrize("rows_per_call", [7, 1000, 4096, 100_000])
def test_batch_scores_equal_the_embedded_ones_in_every_chunking(
    creditcard: Bundle, rows: FeatureMatrix, make_scorer: MakeScorer, runtime: Runtime, rows_per_call: int
) -> None:
    scored = rows if rows_per_call >= 1000 else rows[:1400]

    remote = asyncio.run(make_scorer(rows_per_call=rows_per_call).score(scored))

    embedded = asyncio.run(EmbeddedScorer(creditcard).score(scored))
    assert np.abs(remote - embedded).max() <= TOLERANCE
    assert max(runtime.rows) <= rows_per_call
    assert sum(runtime.rows) == len(scored)
    assert runtime.hits == -(-len(scored) // min(rows_per_call, max(runtime.rows)))


def test_single_scores_equal_the_embedded_ones_however_they_travel_together(
    creditcard: Bundle, rows: FeatureMatrix, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    scorer = make_scorer()
    scored = rows[:: N_ROWS // 1000]

    async def all_at_once() -> np.ndarray:
        return np.concatenate(await asyncio.gather(*(scorer.score(row[np.newaxis]) for row in scored)))

    embedded = asyncio.run(EmbeddedScorer(creditcard).score(scored))
    assert np.abs(asyncio.run(all_at_once()) - embedded).max() <= TOLERANCE
    assert sum(runtime.rows) == len(scored)


def test_payload_stays_below_the_limit_of_the_service(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    longest = np.full((20_000, creditcard.preprocessor.n_features), -1.17549435e-38, dtype=np.float32)
    runtime.keeps_requests = True

    asyncio.run(make_scorer(rows_per_call=100_000).score(longest))

    assert max(len(request.body) for request in runtime.requests) <= 5 << 20
    assert len(runtime.requests) == 2


def test_what_the_container_would_score_wrongly_is_not_sent(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    golden, scorer = creditcard.golden_features(), make_scorer()
    infinite = golden.copy()
    infinite[3, 2] = np.inf

    for wrong in (golden[:, :-1], golden[0], infinite):
        with pytest.raises(ValueError, match="feature"):
            asyncio.run(scorer.score(wrong))

    assert runtime.hits == 0


def test_endpoint_is_addressed_as_the_settings_say(
    creditcard: Bundle, make_scorer: MakeScorer, runtime: Runtime
) -> None:
    runtime.keeps_requests, runtime.variants = True, ("blue", "green")
    scorer = make_scorer(endpoint={"target_variant": "green", "inference_component": "fraud-1"})

    asyncio.run(scorer.score(creditcard.golden_features()[:1]))

    [request] = runtime.requests
    assert request.path == "/endpoints/fraud/invocations"
    assert request.headers["content-type"] == request.headers["accept"] == "text/csv"
    assert request.headers["x-amzn-sagemaker-target-variant"] == "green"
    assert request.headers["x-amzn-sagemaker-inference-component"] == "fraud-1"
