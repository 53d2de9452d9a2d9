"""Scoring inside the process: the bundle's ONNX model, run by ONNX Runtime."""

from __future__ import annotations

import anyio.to_thread
import numpy as np
import onnxruntime

from core.bundle import ONNX_MODEL, Bundle, check_golden_scores
from core.calibration import Scores
from core.errors import BundleError
from core.preprocessing import FeatureMatrix

_ROWS_WORTH_A_THREAD = 256
"""From about 1 ms of work on, other requests should not wait: ONNX Runtime releases the interpreter's lock."""


class EmbeddedScorer:
    """Scores with the model that the bundle carries; one thread a call, so that calls do not fight for cores."""

    name = "embedded"

    def __init__(self, bundle: Bundle) -> None:
        """Load the model and score the golden cases.

        Raises
        ------
        BundleError
            The model does not load, has another number of features, or misses a golden score.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.files[ONNX_MODEL], options, providers=["CPUExecutionProvider"]
            )
        except (RuntimeError, ValueError) as error:
            raise BundleError(f"{bundle.version}: ONNX Runtime cannot load {ONNX_MODEL}") from error
        model_input = self._session.get_inputs()[0]
        if model_input.shape[1] != bundle.preprocessor.n_features:
            raise BundleError(f"{bundle.version}: {ONNX_MODEL} takes another number of features than the manifest")
        self._input = model_input.name
        self._outputs = [self._session.get_outputs()[0].name]
        check_golden_scores(bundle, self._score(bundle.golden_features()))

    async def score(self, features: FeatureMatrix) -> Scores:
        if len(features) < _ROWS_WORTH_A_THREAD:
            return self._score(features)
        return await anyio.to_thread.run_sync(self._score, features)

    async def check_ready(self) -> None:
        """A loaded model needs nothing else."""

    def _score(self, features: FeatureMatrix) -> Scores:
        # The model gives the margin (log-odds), so that small scores keep the precision that a float32
        # sigmoid would lose.
        margins = self._session.run(self._outputs, {self._input: features})[0]
        scores: Scores = 1.0 / (1.0 + np.exp(-margins.reshape(-1).astype(np.float64)))
        return scores
