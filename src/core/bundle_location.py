"""Where a model bundle is kept: a directory, or a prefix in S3. The only module that knows how S3 lists and gives."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from core.bundle import Bundle, load_bundle
from core.errors import BundleError

_MAX_FILES = 64
_MAX_BYTES = 256 << 20
_TIMEOUT_S = 10.0


def load_bundle_from(location: Path | str, *, expected_digest: str | None = None) -> Bundle:
    """Read and verify the bundle at `location`: a directory, or `s3://BUCKET/PREFIX`.

    From S3 it is read into a private directory, which is gone afterwards; it is verified there as any other.

    Raises
    ------
    BundleError
        It cannot be read, or is refused by `load_bundle`.
    """
    if isinstance(location, Path):
        return load_bundle(location, expected_digest=expected_digest)
    try:
        with tempfile.TemporaryDirectory(prefix="model-bundle-") as folder:
            _download(location, Path(folder))
            return load_bundle(Path(folder), expected_digest=expected_digest)
    except OSError as error:
        raise BundleError(f"{location}: there is no room for it in a temporary directory ({error.strerror})") from error


def _download(uri: str, folder: Path) -> None:
    # Imported here: they cost 0.4 s, and only a bundle in S3 needs them.
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    prefix = prefix.rstrip("/") + "/"
    retries = {"mode": "standard", "total_max_attempts": 3}
    try:
        s3: Any = boto3.client(
            "s3", config=Config(connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries=retries)
        )
        found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=_MAX_FILES + 1).get("Contents", [])
        if not found:
            raise BundleError(f"no model bundle at {uri}; set MODEL_BUNDLE")
        names = [entry["Key"].removeprefix(prefix) for entry in found]
        if len(found) > _MAX_FILES or sum(entry["Size"] for entry in found) > _MAX_BYTES:
            raise BundleError(f"{uri} is not a model bundle: it has too many files, or too large ones")
        if odd := [name for name in names if not name or "/" in name or name.startswith(".")]:
            raise BundleError(f"{uri}: {odd[0]!r} does not belong in a model bundle")
        for name in names:
            s3.download_file(bucket, prefix + name, str(folder / name))
    except (BotoCoreError, ClientError) as error:
        raise BundleError(f"{uri}: the model bundle cannot be read ({_reason(error)})") from error


def _reason(error: Any) -> str:  # noqa: ANN401 - botocore ships no types
    return str(getattr(error, "response", {}).get("Error", {}).get("Code") or type(error).__name__)
