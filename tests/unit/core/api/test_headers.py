"""`headers_of`: the first of each name, and none of those that may be sent but once and are not."""

from __future__ import annotations

from core.api.headers import API_KEY, REQUEST_ID, header_values, headers_of


def test_first_header_of_each_name_counts() -> None:
    scope = {"headers": [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]}

    assert headers_of(scope) == {b"a": b"1", b"b": b"2"}
    assert header_values(scope, b"a") == [b"1", b"3"]


def test_key_and_request_id_that_come_twice_are_none() -> None:
    twice = [(REQUEST_ID, b"1"), (API_KEY, b"1"), (REQUEST_ID, b"1"), (API_KEY, b"2"), (b"host", b"x")]

    assert headers_of({"headers": twice}) == {b"host": b"x"}


def test_key_stays_where_another_name_comes_twice() -> None:
    scope = {"headers": [(API_KEY, b"1"), (b"accept", b"a"), (b"accept", b"b")]}

    assert headers_of(scope)[API_KEY] == b"1"


def test_headers_are_searched_once() -> None:
    scope = {"headers": [(b"a", b"1")]}
    first = headers_of(scope)

    assert headers_of(scope) is first
