"""`Preprocessor`: order, scaling, and nothing that depends on the neighbours of a row."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from core.preprocessing import FeatureSpec, FieldSpec, Preprocessor, Standardise


def fields(*names: str) -> list[FieldSpec]:
    return [FieldSpec(name=name, minimum=-1e6, maximum=1e6) for name in names]


def step(mean: float, scale: float) -> Standardise:
    return Standardise(kind="standardise", mean=mean, scale=scale)


def test_transform_features_come_in_their_own_order_and_leave_fields_out() -> None:
    features = [FeatureSpec(name="x", field="c"), FeatureSpec(name="y", field="a"), FeatureSpec(name="z", field="c")]

    matrix = Preprocessor(fields("a", "b", "c"), features).transform(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))

    assert matrix.tolist() == [[3.0, 1.0, 3.0], [6.0, 4.0, 6.0]]
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous


def test_transform_steps_are_applied_one_after_the_other() -> None:
    features = [
        FeatureSpec(name="two", field="a", steps=(step(10, 2), step(1, 4))),
        FeatureSpec(name="one", field="a", steps=(step(10, 2),)),
        FeatureSpec(name="none", field="a"),
    ]

    matrix = Preprocessor(fields("a"), features).transform(np.array([[20.0]]))

    assert matrix.tolist() == [[1.0, 5.0, 20.0]]


def test_transform_feature_without_steps_keeps_every_bit() -> None:
    features = [FeatureSpec(name="scaled", field="a", steps=(step(3, 7),)), FeatureSpec(name="plain", field="b")]
    odd = np.array([[1.0, -0.0], [1.0, 5e-324], [1.0, 0.1], [1.0, -3.4e38]])

    plain = Preprocessor(fields("a", "b"), features).transform(odd)[:, 1]

    assert plain.tobytes() == odd[:, 1].astype(np.float32).tobytes()


def test_transform_no_feature_has_a_step_works() -> None:
    matrix = Preprocessor(fields("a"), [FeatureSpec(name="a", field="a")]).transform(np.array([[1.5]]))

    assert matrix.tolist() == [[1.5]]


@pytest.mark.parametrize(
    "steps",
    [
        [{"kind": "standardise", "mean": 0.0, "scale": 0.0}],
        [{"kind": "standardise", "mean": 0.0, "scale": -1.0}],
        [{"kind": "standardise", "mean": float("nan"), "scale": 1.0}],
        [{"kind": "log", "mean": 0.0, "scale": 1.0}],
        [{"kind": "standardise", "mean": "0", "scale": 1.0}],
        [{"kind": "standardise", "mean": 0.0, "scale": 1.0}] * 5,
    ],
)
def test_feature_spec_step_that_makes_no_sense_is_refused(steps: list[dict[str, object]]) -> None:
    with pytest.raises(ValidationError):
        FeatureSpec.model_validate({"name": "a", "field": "a", "steps": steps})
