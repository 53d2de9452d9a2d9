"""`Preprocessor`: order, scaling, and nothing that depends on the neighbours of a row."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
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


def feature(*steps: dict[str, object], name: str = "x", field: str = "a") -> FeatureSpec:
    return FeatureSpec.model_validate({"name": name, "field": field, "steps": steps})


def transformed(spec: FeatureSpec, *values: float) -> list[float]:
    matrix = Preprocessor(fields("a"), [spec]).transform(np.array(values)[:, np.newaxis])
    return [float(value) for value in matrix[:, 0]]


def test_transform_log1p_is_signed_and_odd() -> None:
    logs = transformed(feature({"kind": "log1p"}), 0.0, math.e - 1.0, -5.0, 5.0)

    assert logs == pytest.approx([0.0, 1.0, -math.log(6.0), math.log(6.0)], abs=1e-7)


def test_transform_clip_takes_the_nearest_end() -> None:
    assert transformed(feature({"kind": "clip", "minimum": -1.0, "maximum": 2.0}), -9.0, 0.5, 9.0) == [-1.0, 0.5, 2.0]


@pytest.mark.parametrize(
    ("hours", "sine", "cosine"), [(0, 0.0, 1.0), (6, 1.0, 0.0), (12, 0.0, -1.0), (18, -1.0, 0.0), (24, 0.0, 1.0)]
)
@pytest.mark.parametrize("days", [0, 1, 20_000])
def test_transform_time_of_day_goes_round_the_clock(hours: int, sine: float, cosine: float, days: int) -> None:
    value = (days * 24 + hours - 1) * 60.0
    clock = {"kind": "time_of_day", "unit_s": 60.0, "offset_s": 3600.0}

    assert transformed(feature({**clock, "function": "sine"}), value) == pytest.approx([sine], abs=1e-7)
    assert transformed(feature({**clock, "function": "cosine"}), value) == pytest.approx([cosine], abs=1e-7)


MIXED = [
    feature({"kind": "log1p"}, {"kind": "standardise", "mean": 2.0, "scale": 3.0}),
    feature({"kind": "standardise", "mean": 5.0, "scale": 7.0}, {"kind": "clip", "minimum": -1.5, "maximum": 1.5}),
    feature({"kind": "time_of_day", "function": "sine"}),
    feature({"kind": "clip", "minimum": -100.0, "maximum": 1e5}, {"kind": "log1p"}),
    feature(),
]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=70))
def test_transform_every_kind_gives_a_row_the_same_bits_alone_and_in_a_batch(values: list[float]) -> None:
    preprocessor = Preprocessor(fields("a"), MIXED)
    batch = np.array(values)[:, np.newaxis]

    alone = [preprocessor.transform(batch[row : row + 1]) for row in range(len(batch))]

    assert np.concatenate(alone).tobytes() == preprocessor.transform(batch).tobytes()


@given(st.floats(-1e6, 1e6))
def test_ranges_hold_whatever_a_field_may_be(value: float) -> None:
    preprocessor = Preprocessor(fields("a"), MIXED)
    low, high = preprocessor.ranges().astype(np.float32)

    row = preprocessor.transform(np.array([[value]]))[0]

    assert ((low <= row) & (row <= high)).all()


def test_ranges_of_a_clock_that_would_overflow_are_infinite() -> None:
    huge = [FieldSpec(name="a", minimum=0.0, maximum=1e306)]
    clock = feature({"kind": "time_of_day", "function": "sine", "unit_s": 3600.0})

    assert np.isinf(Preprocessor(huge, [clock]).ranges()).all()
