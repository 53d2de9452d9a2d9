"""The reply of every route that answers with JSON."""

from __future__ import annotations

from starlette.responses import Response

_MEDIA_TYPE = (b"content-type", b"application/json")


class JsonReply(Response):
    """`body`, which is JSON, with status 200; its two headers are known, and need no search for what is missing."""

    def __init__(self, body: bytes) -> None:
        self.status_code = 200
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _MEDIA_TYPE]
