"""What a request body may be before it is read: its media type, its encoding, its size."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from core.api.headers import headers_of
from core.errors import BodyTooLargeError, UnsupportedMediaTypeError

JSON = "application/json"
CSV = "text/csv"
ABORTED = "fraud_scoring.aborted"
"""Under this a server notes in the scope why the rest of the body will never come: the error to answer with."""
_LENGTH_DIGITS = 18
_PLAIN = {JSON.encode("ascii"): JSON, CSV.encode("ascii"): CSV}


def require_media_type(request: Request, allowed: Collection[str]) -> str:
    """Return the media type of the body, one of `allowed`.

    Raises
    ------
    UnsupportedMediaTypeError
        It is another or absent, its charset is not UTF-8, or the body is encoded (compressed).
    """
    headers = headers_of(request.scope)
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.lower() != b"identity":
        raise UnsupportedMediaTypeError("Send the body as it is: Content-Encoding is not supported.")
    value = headers.get(b"content-type", b"")
    plain = _PLAIN.get(value)
    if plain is not None and plain in allowed:
        return plain
    media_type, *parameters = (part.strip().lower() for part in value.decode("latin-1").split(";"))
    charsets = {part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")}
    if media_type not in allowed or charsets - {"utf-8", "utf8"}:
        raise UnsupportedMediaTypeError(f"Send the body as {' or '.join(allowed)} in UTF-8.")
    return media_type


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the whole body, without ever holding much more than `max_bytes` of it.

    Raises
    ------
    BodyTooLargeError
        The body is larger, by its declared length (then nothing is read) or by count.
    ClientDisconnect
        The caller went away.
    RequestTimeoutError, MalformedRequestError
        The server has given up waiting for the rest, or cannot read it.
    """
    _refuse_declared(request, max_bytes)
    # Most bodies are one chunk, and an asynchronous generator would cost more than all else that is done here.
    chunks, size, more = [], 0, True
    while more:
        chunk, more = _chunk_of(await request.receive(), request, max_bytes, size)
        chunks.append(chunk)
        size += len(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def body_chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Yield the body as it comes in; raises as `read_body` does."""
    _refuse_declared(request, max_bytes)
    size, more = 0, True
    while more:
        chunk, more = _chunk_of(await request.receive(), request, max_bytes, size)
        size += len(chunk)
        yield chunk


def _refuse_declared(request: Request, max_bytes: int) -> None:
    declared = headers_of(request.scope).get(b"content-length", b"")
    # Python refuses to convert thousands of digits, so the longest are not even tried.
    if declared.isdigit() and (len(declared) > _LENGTH_DIGITS or int(declared) > max_bytes):
        raise _too_large(max_bytes)


def _chunk_of(message: Message, request: Request, max_bytes: int, size: int) -> tuple[bytes, bool]:
    """Return what came in behind the first `size` bytes, and whether there is more."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    chunk = message.get("body", b"")
    if ABORTED in request.scope:
        raise request.scope[ABORTED]
    if size + len(chunk) > max_bytes:
        raise _too_large(max_bytes)
    return chunk, message.get("more_body", False)


def _too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body may have at most {max_bytes} bytes.")
