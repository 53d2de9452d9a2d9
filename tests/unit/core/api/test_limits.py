"""`require_media_type` and `read_body`: judged before anything is read, and never more held than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from core.api.limits import CSV, JSON, read_body, require_media_type
from core.errors import BodyTooLargeError, UnsupportedMediaTypeError

MAX_BYTES = 100


def request_with(*headers: tuple[bytes, bytes], messages: Iterator[Message] | None = None) -> Request:
    async def receive() -> Message:
        assert messages is not None, "the body was read"
        return next(messages)

    return Request({"type": "http", "headers": list(headers)}, receive)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"application/json", JSON),
        (b"APPLICATION/Json", JSON),
        (b"application/json; charset=utf-8", JSON),
        (b'application/json ;profile=x; charset="UTF-8"', JSON),
        (b"text/csv", CSV),
        (b"text/csv; header=present", CSV),
    ],
)
def test_require_media_type_allowed_one_is_returned(value: bytes, expected: str) -> None:
    assert require_media_type(request_with((b"content-type", value)), (JSON, CSV)) == expected


@pytest.mark.parametrize("value", [b"", b"text/plain", b"application/json; charset=latin-1", b"json", b"text/csv, x"])
def test_require_media_type_other_is_refused_with_what_is_allowed(value: bytes) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=r"^Send the body as application/json or text/csv in UTF-8\.$"):
        require_media_type(request_with((b"content-type", value)), (JSON, CSV))


@given(st.binary(max_size=60), st.sampled_from([b"application/json", b"application/json;", b"text/csv; charset*="]))
def test_require_media_type_any_bytes_are_allowed_or_refused(noise: bytes, start: bytes) -> None:
    """NUL, CR, LF and non-ASCII reach the app where a gateway made the request, not a server."""
    try:
        assert require_media_type(request_with((b"content-type", start + noise)), (JSON, CSV)) in (JSON, CSV)
    except UnsupportedMediaTypeError as error:
        assert str(error) == "Send the body as application/json or text/csv in UTF-8."  # noqa: PT017


@pytest.mark.parametrize("value", [b"gzip", b"GZIP", b"br", b"identity, gzip", b"", b"*"])
def test_require_media_type_encoded_body_is_refused(value: bytes) -> None:
    request = request_with((b"content-type", b"application/json"), (b"content-encoding", value))

    with pytest.raises(UnsupportedMediaTypeError, match="Content-Encoding is not supported"):
        require_media_type(request, (JSON,))


def messages_of(*chunks: bytes, forever: bool = False) -> Iterator[Message]:
    for index, chunk in enumerate(chunks):
        yield {"type": "http.request", "body": chunk, "more_body": forever or index < len(chunks) - 1}
    while forever:
        yield {"type": "http.request", "body": b"x", "more_body": True}
    yield {"type": "http.disconnect"}


def read(request: Request) -> bytes:
    return asyncio.run(read_body(request, MAX_BYTES))


@pytest.mark.parametrize("chunks", [[b""], [b"abc"], [b"a", b"", b"bc"], [b"x" * 40, b"y" * 60]])
def test_read_body_up_to_the_limit_is_whole(chunks: list[bytes]) -> None:
    assert read(request_with(messages=messages_of(*chunks))) == b"".join(chunks)


@pytest.mark.parametrize("declared", [b"101", b"0101", b"9" * 18, b"9" * 19, b"9" * 10_000])
def test_read_body_declared_too_large_is_refused_unread(declared: bytes) -> None:
    with pytest.raises(BodyTooLargeError, match="at most 100 bytes"):
        read(request_with((b"content-length", declared)))


def test_read_body_too_large_by_count_is_refused_without_reading_on() -> None:
    """The stream never ends, so that reading on would hang."""
    with pytest.raises(BodyTooLargeError):
        read(request_with(messages=messages_of(b"x" * 60, forever=True)))


@pytest.mark.parametrize("declared", [b"5", b"", b"-1", b"abc", "\u0664".encode(), b"1e9"])
def test_read_body_declared_length_that_lies_is_not_trusted(declared: bytes) -> None:
    with pytest.raises(BodyTooLargeError):
        read(request_with((b"content-length", declared), messages=messages_of(b"x" * 101)))


def test_read_body_caller_that_went_away_is_no_body() -> None:
    with pytest.raises(ClientDisconnect):
        read(request_with(messages=iter([{"type": "http.request", "body": b"x", "more_body": True},
                                         {"type": "http.disconnect"}])))  # fmt: skip
