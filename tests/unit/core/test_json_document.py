"""`read_json` and `check_depth`: what is one JSON document here, and what the refusal says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import MalformedBodyError
from core.json_document import MAX_DEPTH, MAX_INTEGER, check_depth, read_json

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@given(PLAIN, st.booleans())
def test_read_json_any_document_gives_what_the_standard_library_gives(document: Any, ascii_only: bool) -> None:
    raw = json.dumps(document, ensure_ascii=ascii_only)

    assert read_json(raw.encode()) == json.loads(raw)


@pytest.mark.parametrize("raw", [b"NaN", b"[Infinity]", b"-Infinity", b"", b"{", b"[1] 2", b"'a'", b"\xef\xbb\xbf1"])
def test_read_json_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedBodyError, match=r"^The body is not valid JSON: "):
        read_json(raw)


@pytest.mark.parametrize("key", ["secret", "a at line 3 column 4", 'quo"te', "Detected duplicate key"])
def test_read_json_duplicate_key_is_refused_without_its_name(key: str) -> None:
    raw = f'{{"other": [{{{json.dumps(key)}: 1,\n{json.dumps(key)}: 2}}]}}'.encode()

    with pytest.raises(MalformedBodyError) as caught:
        read_json(raw)

    assert str(caught.value).startswith("The body is not valid JSON: duplicate key at line 2 column ")
    assert key not in str(caught.value)


def test_read_json_fault_is_named_with_its_place_and_not_its_content() -> None:
    with pytest.raises(MalformedBodyError) as caught:
        read_json(b'{"amount": 4111111111111111,\n "x": oops4111}')

    assert str(caught.value) == "The body is not valid JSON: expected value at line 2 column 7."


def test_read_json_number_beyond_float64_is_left_to_the_schema() -> None:
    assert read_json(b"[1e999, -1e999]") == [float("inf"), float("-inf")]
    assert read_json(b"9" * 400) == MAX_INTEGER


def nested(depth: int, leaf: Any = 1) -> Any:
    document = leaf
    for level in range(depth):
        document = [0, document] if level % 2 else {"a": 0, "b": document}
    return document


@pytest.mark.parametrize("depth", [0, 1, MAX_DEPTH - 1, MAX_DEPTH])
def test_check_depth_up_to_the_limit_passes(depth: int) -> None:
    check_depth(nested(depth))


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 150])
@pytest.mark.parametrize("leaf", [1, [], {}])
def test_check_depth_beyond_the_limit_is_refused(depth: int, leaf: Any) -> None:
    with pytest.raises(MalformedBodyError, match="nested deeper than 16 levels"):
        check_depth(nested(depth, leaf))
