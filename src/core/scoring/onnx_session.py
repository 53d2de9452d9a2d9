"""ONNX Runtime, loaded as this product wants it: silent, with one thread a call. The only module that knows it."""

from __future__ import annotations

from typing import Any

from core.settings import opt_out_of_telemetry


def open_session(model: bytes) -> Any:  # noqa: ANN401 - ONNX Runtime ships no types
    """Return an inference session of the ONNX model in `model`.

    Raises
    ------
    Exception
        It is no such model: ONNX Runtime's errors have no base class of their own.
    """
    # From when it is loaded, ONNX Runtime would write below the home directory and report to its maker.
    opt_out_of_telemetry()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
