"""Where a model bundle is kept: a directory, or a prefix in S3. The only module that knows how S3 lists and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.bundle import Bundle, load_bundle, verified_bundle
from core.errors import BundleError

_MAX_FILES = 64
_MAX_BYTES = 256 << 20
_TIMEOUT_S = 10.0
_READS = 3
"""Of a file whose reply breaks off: the SDK repeats requests, but never that part."""


def load_bundle_from(location: Path | str, *, expected_digest: str | None = None) -> Bundle:
    """Read and verify the bundle at `location`: a directory, or `s3://BUCKET/PREFIX`.

    From S3 it goes into memory and nowhere else, so that no disk is needed; it is verified as any other.

    Raises
    ------
    BundleError
        It cannot be read, or is refused by `load_bundle`.
    """
    if isinstance(location, Path):
        return load_bundle(location, expected_digest=expected_digest)
    # Imported here: they cost 0.4 s, and only a bundle in S3 needs them.
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        return verified_bundle(_Prefix(location), expected_digest=expected_digest)
    except (BotoCoreError, ClientError, HTTPError) as error:
        raise BundleError(f"{location}: the model bundle cannot be read ({_reason(error)})") from error


@dataclass(frozen=True)
class _Prefix:
    """The objects below a prefix; what S3 and the way to it do wrong is raised as it comes."""

    uri: str
    _client: Any = field(default_factory=lambda: _make_client(), compare=False)

    def __str__(self) -> str:
        return self.uri

    @property
    def _place(self) -> tuple[str, str]:
        bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        return bucket, prefix.rstrip("/") + "/"

    def sizes(self) -> Mapping[str, int]:
        bucket, prefix = self._place
        found = self._client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=_MAX_FILES + 1).get("Contents", [])
        if not found:
            raise BundleError(f"no model bundle at {self.uri}; set MODEL_BUNDLE")
        sizes = {entry["Key"].removeprefix(prefix): int(entry["Size"]) for entry in found}
        if len(sizes) > _MAX_FILES or sum(sizes.values()) > _MAX_BYTES:
            raise BundleError(f"{self.uri} is not a model bundle: it has too many files, or too large ones")
        return sizes

    def read(self, name: str, limit: int) -> bytes:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        bucket, prefix = self._place
        for _ in range(_READS - 1):
            try:
                return self._read_once(bucket, prefix + name, limit)
            except (BotoCoreError, HTTPError):
                continue
        return self._read_once(bucket, prefix + name, limit)

    def _read_once(self, bucket: str, key: str, limit: int) -> bytes:
        body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
        try:
            content: bytes = body.read(limit)
            # Nothing more is wanted, but only this call finds out that something is missing.
            if len(content) < limit:
                body.read()
        finally:
            body.close()
        return content


def _make_client() -> Any:  # noqa: ANN401 - botocore ships no types
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": 3}
    config = Config(connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries=retries)
    return boto3.client("s3", config=config)


def _reason(error: Any) -> str:  # noqa: ANN401 - botocore ships no types
    reply = getattr(error, "response", None) or {}  # None where there was no reply
    return str(reply.get("Error", {}).get("Code") or type(error).__name__)
