"""Objects in S3: read in bounded pieces and only as the version that the job was created for, written whole."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.errors import JobFailedError, JobsUnavailableError

READ_BYTES = 8 << 20
"""Read by one request: long enough for its latency not to matter, short enough to be asked for again."""
_READS = 3
_LOCATION = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.{1,1024})", re.DOTALL)
_CHANGED = frozenset({"PreconditionFailed", "412", "InvalidRange", "416"})
_ABSENT = frozenset({"NoSuchKey", "NoSuchBucket", "404", "NotFound"})
_FORBIDDEN = frozenset({"AccessDenied", "403", "Forbidden"})


@dataclass(frozen=True, slots=True)
class Pinned:
    """Bytes that were found once, and must be the same whenever they are read."""

    bucket: str
    key: str
    etag: str
    n_bytes: int


class Objects:
    """Reads and writes objects with one client."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401 - boto3 makes its classes at run time
        self._client = client

    def find(self, location: str) -> Pinned:
        """Return what is at `s3://bucket/key` now.

        Raises
        ------
        JobFailedError
            There is nothing, or it may not be read.
        JobsUnavailableError
        """
        bucket, key = split_location(location)
        head = self._call("head_object", Bucket=bucket, Key=key)
        return Pinned(bucket, key, head["ETag"], head["ContentLength"])

    def read(self, source: Pinned, start: int, stop: int) -> bytes:
        """Return the bytes from `start` to before `stop`, as far as there are so many.

        Raises
        ------
        JobFailedError
            They are no longer those that were found.
        JobsUnavailableError
        """
        stop = min(stop, source.n_bytes)
        if start >= stop:
            return b""
        asked = {
            "Bucket": source.bucket,
            "Key": source.key,
            "IfMatch": source.etag,
            "Range": f"bytes={start}-{stop - 1}",
        }
        for attempt in range(_READS):
            body = self._call("get_object", **asked)["Body"]
            data = self._drain(body, last=attempt == _READS - 1)
            if data is not None and len(data) == stop - start:
                return data
        raise JobsUnavailableError("S3 sent fewer bytes than it said, again and again.")

    def _drain(self, body: Any, *, last: bool) -> bytes | None:  # noqa: ANN401 - botocore's stream
        """Return what the body holds, or None if it broke off: the SDK repeats requests, but never this part."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError
        from urllib3.exceptions import HTTPError

        try:
            data: bytes = body.read()
        except (
            HTTPClientError,
            HTTPError,
            IncompleteReadError,
            OSError,
            ReadTimeoutError,
            ResponseStreamingError,
        ) as error:
            if last:
                raise JobsUnavailableError("S3 breaks off while it sends.") from error
            return None
        finally:
            body.close()
        return data

    def blocks(self, source: Pinned, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from `start` to before `stop` in pieces that fit in memory."""
        for at in range(start, stop, READ_BYTES):
            yield self.read(source, at, min(at + READ_BYTES, stop))

    def open(self, source: Pinned) -> io.BufferedReader:
        """Return the object as a file that can be read and sought in."""
        return io.BufferedReader(_PinnedFile(self, source), READ_BYTES)

    def write(self, bucket: str, key: str, data: bytes) -> str:
        """Write an object, which is there whole or not at all; return its entity tag."""
        etag: str = self._call("put_object", Bucket=bucket, Key=key, Body=data)["ETag"]
        return etag

    def delete(self, bucket: str, key: str) -> None:
        """See to it that there is no such object."""
        self._call("delete_object", Bucket=bucket, Key=key)

    def upload_url(self, bucket: str, key: str, seconds: int) -> str:
        """Return a URL to which an object can be sent once."""
        # Signed with the condition: whoever has the URL cannot replace what was sent.
        asked = {"Bucket": bucket, "Key": key, "IfNoneMatch": "*"}
        url: str = self._client.generate_presigned_url("put_object", asked, ExpiresIn=seconds)
        return url

    def _call(self, operation: str, **asked: Any) -> dict[str, Any]:  # noqa: ANN401 - arguments of S3's operations
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            reply: dict[str, Any] = getattr(self._client, operation)(**asked)
        except ClientError as error:
            raise _meaning(error.response["Error"].get("Code", "")) from error
        except BotoCoreError as error:
            raise JobsUnavailableError(f"S3 does not answer ({type(error).__name__}).") from error
        return reply


def _meaning(code: str) -> JobFailedError | JobsUnavailableError:
    if code in _CHANGED:
        return JobFailedError("input_changed", "The file is no longer the one that the job was created for.")
    if code in _ABSENT:
        return JobFailedError("input_missing", "There is no such file any more.")
    if code in _FORBIDDEN:
        return JobFailedError("input_forbidden", "The file is not there, or the service may not read it.")
    return JobsUnavailableError(f"S3 refuses the request ({code}).")


class _PinnedFile(io.RawIOBase):
    """What `io.BufferedReader` needs of a file."""

    def __init__(self, objects: Objects, source: Pinned) -> None:
        self._objects = objects
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.n_bytes}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        data = self._objects.read(self._source, self._at, self._at + len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


def split_location(location: str) -> tuple[str, str]:
    """Return bucket and key of `s3://bucket/key`.

    Raises
    ------
    JobFailedError
    """
    found = _LOCATION.fullmatch(location)
    if found is None:
        raise JobFailedError("input_missing", "A file in S3 is named as s3://bucket/key.")
    return found[1], found[2]
