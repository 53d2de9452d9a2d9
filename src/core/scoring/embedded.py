"""Scoring inside the process: the bundle's ONNX model, run by ONNX Runtime."""

from __future__ import annotations

import anyio.to_thread
import numpy as np

from core.bundle import ONNX_MODEL, Bundle, check_golden_scores
from core.calibration import Scores
from core.errors import BundleError, ScorerModelError
from core.preprocessing import FeatureMatrix
from core.scoring.onnx_session import open_session

_ROWS_WORTH_A_THREAD = 256
"""From about 1 ms of work on, other requests should not wait: ONNX Runtime releases the interpreter's lock."""


class EmbeddedScorer:
    """Scores with the model that the bundle carries; one thread a call, so that calls do not fight for cores."""

    name = "embedded"
    keeps_loop_busy = True

    def __init__(self, bundle: Bundle) -> None:
        """Load the model and score the golden cases.

        Raises
        ------
        BundleError
            The model does not load, takes another input than the bundle's features, or misses a golden score.
        """
        try:
            self._session = open_session(bundle.files[ONNX_MODEL])
        except Exception as error:
            raise BundleError(f"{bundle.version}: ONNX Runtime cannot load {ONNX_MODEL}") from error
        inputs = self._session.get_inputs()
        if [(each.type, each.shape[1:]) for each in inputs] != [("tensor(float)", [bundle.preprocessor.n_features])]:
            raise BundleError(f"{bundle.version}: {ONNX_MODEL} does not take the features of the manifest")
        self._input = inputs[0].name
        self._outputs = [self._session.get_outputs()[0].name]
        try:
            scores = self._score(bundle.golden_features())
        except ScorerModelError as error:
            raise BundleError(f"{bundle.version}: {ONNX_MODEL} cannot score the golden cases") from error
        check_golden_scores(bundle, scores)

    async def score(self, features: FeatureMatrix) -> Scores:
        if len(features) < _ROWS_WORTH_A_THREAD:
            return self._score(features)
        return await anyio.to_thread.run_sync(self._score, features)

    async def check_ready(self) -> None:
        """A loaded model needs nothing else."""

    def close(self, *, wait: bool = True) -> None:
        """There is only memory, which goes with the last reference."""

    def _score(self, features: FeatureMatrix) -> Scores:
        # The model gives the margin (log-odds), so that small scores keep the precision that a float32
        # sigmoid would lose.
        try:
            margins = self._session.run(self._outputs, {self._input: features})[0]
        except Exception as error:
            raise ScorerModelError("The model failed on the request.") from error
        return _sigmoid(margins)


def _sigmoid(margins: FeatureMatrix) -> Scores:
    """Return 1 / (1 + exp(-margin)), shape (n,), for margins of shape (n, 1)."""
    # exp beyond float64 is infinity, and the score 0: no cause for a warning.
    with np.errstate(over="ignore"):
        if margins.size == 1:  # the same operations, and the same bits, in a third of the time
            return np.array([1.0 / (1.0 + float(np.exp(-margins.item())))])
        scores: Scores = 1.0 / (1.0 + np.exp(-margins.reshape(-1).astype(np.float64)))
    return scores
