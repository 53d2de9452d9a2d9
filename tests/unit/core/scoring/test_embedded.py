"""`EmbeddedScorer`: a real ONNX Runtime session, refused models, and errors while scoring."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from core.bundle import Bundle, load_bundle
from core.errors import BundleError, ScorerModelError
from core.scoring.embedded import EmbeddedScorer
from tests.tiny_bundle import LEAVES, tree_model, write_tiny_bundle

GARBAGE = b"this is no protobuf: 4111111111111111"


def test_score_gives_the_sigmoid_of_the_margin(tiny: Bundle) -> None:
    features = np.array([[0.0, 0.0], [0.0, 3.0], [1.0, 0.0], [1.0, 3.0]], dtype=np.float32)

    scores = asyncio.run(EmbeddedScorer(tiny).score(features))

    assert scores.tolist() == pytest.approx([1 / (1 + math.exp(-leaf)) for leaf in LEAVES], abs=1e-12)


def test_score_many_rows_on_a_thread_gives_the_same_bits_as_one_by_one(creditcard: Bundle) -> None:
    scorer = EmbeddedScorer(creditcard)
    features = np.resize(creditcard.golden_features(), (1000, creditcard.preprocessor.n_features))

    together = asyncio.run(scorer.score(features))

    assert together.tolist() == [asyncio.run(scorer.score(features[i : i + 1]))[0] for i in range(1000)]


def test_check_ready_loaded_model_is_ready(tiny: Bundle) -> None:
    asyncio.run(EmbeddedScorer(tiny).check_ready())


def test_score_margin_beyond_what_exp_can_hold_is_a_score_of_zero(tmp_path: Path) -> None:
    """And not a warning on stderr, which is what NumPy would make of it."""
    write_tiny_bundle(tmp_path, leaves=(-1000.0, 1000.0, -800.0, 0.0))
    scorer = EmbeddedScorer(load_bundle(tmp_path))

    features = np.array([[0.0, 0.0], [0.0, 3.0]], dtype=np.float32)

    assert asyncio.run(scorer.score(features)).tolist() == [0.0, 1.0]
    assert [asyncio.run(scorer.score(row[np.newaxis])).tolist() for row in features] == [[0.0], [1.0]]


@pytest.mark.parametrize(
    ("onnx", "reason"),
    [
        (GARBAGE, r"ONNX Runtime cannot load model\.onnx"),
        (tree_model(LEAVES)[:-30], r"ONNX Runtime cannot load model\.onnx"),
        (tree_model(LEAVES, n_features=3), "does not take the features of the manifest"),
        (tree_model(LEAVES, n_features=1), "does not take the features of the manifest"),
        (tree_model(LEAVES, input_type=TensorProto.DOUBLE), "does not take the features of the manifest"),
        (tree_model(LEAVES, n_targets=2), "one score for each golden case"),
        (tree_model((-6.0, -1.0, 1.5, 4.01)), "the raw score of .* golden cases differs"),
        (tree_model((math.nan,) * 4), "the raw score of 50 of 50 golden cases differs"),
    ],
    ids=["garbage", "cut", "wider", "narrower", "double", "two-scores", "other-leaf", "nan"],
)
def test_construct_model_that_does_not_fit_its_bundle_is_refused(tmp_path: Path, onnx: bytes, reason: str) -> None:
    """Every digest is right here: only the model can tell."""
    write_tiny_bundle(tmp_path, onnx=onnx)
    bundle = load_bundle(tmp_path)

    with pytest.raises(BundleError, match=reason) as caught:
        EmbeddedScorer(bundle)

    assert "4111111111111111" not in str(caught.value)


def test_score_matrix_that_the_model_refuses_is_an_error_of_the_model(tiny: Bundle) -> None:
    with pytest.raises(ScorerModelError, match=r"^The model failed on the request\.$"):
        asyncio.run(EmbeddedScorer(tiny).score(np.zeros((1, 5), dtype=np.float32)))
