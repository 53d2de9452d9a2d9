"""What goes over the wire loses no bit, and nothing but scores comes back from it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from core.errors import ScorerResponseError
from core.scoring.sagemaker_wire import (
    MAX_PAYLOAD_BYTES,
    max_reply_bytes,
    max_rows_per_payload,
    read_reply,
    write_payload,
)

FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(2, 40)), elements=FLOAT32))
def test_payload_read_as_float64_gives_the_same_float32(features: np.ndarray) -> None:
    lines = write_payload(features).decode().split("\n")

    read = np.array([[float(cell) for cell in line.split(",")] for line in lines]).astype(np.float32)

    assert read.tobytes() == features.tobytes()


def test_payload_has_no_header_and_no_empty_line() -> None:
    assert (
        write_payload(np.array([[0.1, -0.0], [406, 1e-45]], dtype=np.float32)) == b"0.100000001,-0\n406,1.40129846e-45"
    )


@given(st.integers(2, 1000))
def test_longest_values_fit_into_a_payload(n_features: int) -> None:
    longest = np.full((1, n_features), -1.17549435e-38, dtype=np.float32)

    assert max_rows_per_payload(n_features) * (len(write_payload(longest)) + 1) <= MAX_PAYLOAD_BYTES < 6_291_456


@pytest.mark.parametrize(
    "body",
    [
        b"0.25,0.5,1.0", b"0.25\n0.5\n1.0\n", b"0.25\r\n0.5\r\n1.0\r\n", b"0.25, 0.5 ,1", b"2.5e-1,5E-1,+1",
        b'{"predictions": [{"score": 0.25}, {"score": 0.5}, {"score": 1}]}',
        b'{"predictions": [{"score": 0.25, "labels": [0, 1]}, {"score": 0.5}, {"score": 1}]}',
    ],
)  # fmt: skip
def test_reply_in_any_published_form_is_read(body: bytes) -> None:
    assert read_reply(body, 3).tolist() == [0.25, 0.5, 1.0]


def test_score_too_small_for_a_float_is_zero() -> None:
    assert read_reply(b"1e-400", 1).tolist() == [0.0]


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b",", b"0.5,", b"0.5,0.5", b"0.5\n\n0.5", b"nan", b"NaN", b"inf", b"-inf", b"1e999", b"-0.1",
        b"1.0001", b"1_0", b"0x1p-2", b"0.5 0.5", "0.5".encode("utf-16"), "٠".encode(), b"<html>0.5</html>", b"0.5;",
        b"null", b"[0.5]", b"{", b"{}", b'{"predictions": 0.5}', b'{"predictions": [0.5]}', b'{"predictions": []}',
        b'{"predictions": [{"score": NaN}]}', b'{"predictions": [{"score": "0.5"}]}',
        b'{"predictions": [{"score": true}]}', b'{"predictions": [{"score": 1e400}]}',
        b'{"predictions": [{"score": ' + b"9" * 400 + b"}]}", b'{"predictions": [{"label": 0.5}]}',
        b'{"predictions": [{"score": 0.5}]} {}', b'{"message": "ok"}',
    ],
)  # fmt: skip
def test_reply_that_is_not_one_score_is_refused(body: bytes) -> None:
    with pytest.raises(ScorerResponseError):
        read_reply(body, 1)


def test_limit_of_a_reply_leaves_room_for_the_longest_scores() -> None:
    longest = b'{"predictions": [' + b", ".join([b'{"score": 1.0000000000000002e-308}'] * 1000) + b"]}"

    assert len(longest) < max_reply_bytes(1000)
