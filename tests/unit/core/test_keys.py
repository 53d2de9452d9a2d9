"""`core.keys`: how lists of keys and their scopes are written."""

from __future__ import annotations

import pytest

from core.keys import DEFAULT_SCOPES, SCOPES, parse_keys, split_scopes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one", ("one",)),
        (" one:predict, two ,,", ("one:predict", "two")),
        ('{"shop": "one:predict", "office": "two, three:admin"}', ("one:predict", "two", "three:admin")),
        ('{"shop": 1, "office": {"key": "two"}}', ()),
        ('{"shop": ', ()),
        ("", ()),
    ],
)
def test_parse_keys_reads_lists_and_objects_of_lists(text: str, expected: tuple[str, ...]) -> None:
    assert parse_keys(text) == expected


@pytest.mark.parametrize(
    ("entry", "key", "scopes"),
    [
        ("k-1:predict", "k-1", {"predict"}),
        ("k-1:batch+predict", "k-1", {"predict", "batch"}),
        ("k-1:admin+predict+batch", "k-1", SCOPES),
        ("k:1:admin", "k:1", {"admin"}),
    ],
)
def test_split_scopes_takes_them_from_behind_the_last_colon(entry: str, key: str, scopes: set[str]) -> None:
    assert split_scopes(entry) == (key, scopes)


@pytest.mark.parametrize(
    "entry", ["k-1", "k:1", "k-1:", ":predict", "k-1:read", "k-1:predict+", "k-1:predict+read", "k-1:Predict"]
)
def test_split_scopes_leaves_what_is_not_all_scopes_in_the_key(entry: str) -> None:
    assert split_scopes(entry) == (entry, DEFAULT_SCOPES)


def test_key_without_scopes_may_not_administer() -> None:
    assert DEFAULT_SCOPES == {"predict", "batch"}
