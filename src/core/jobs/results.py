"""The result of a job: parts of bounded size in the input's format, and a manifest that is written last.

The manifest is what makes parts a result: as long as it is not there, nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from core.jobs.records import FormatName, JobCounts

MANIFEST = "manifest.json"
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid")


class Part(BaseModel):
    """One file of the result: the rows of one chunk, in order."""

    model_config = _STRICT

    name: str
    sha256: str
    n_bytes: int
    rows: int
    scored: int
    rejected: int


class InputDigest(BaseModel):
    """Which bytes were scored: the sha256 of the file, or the ETag and version under which S3 keeps it."""

    model_config = _STRICT

    format: FormatName
    n_bytes: int
    sha256: str | None = None
    etag: str | None = None


class ResultManifest(BaseModel):
    """What a result consists of; two runs over the same input, model and options give the same bytes."""

    model_config = _STRICT

    schema_version: Literal[1] = 1
    input: InputDigest
    format: FormatName
    columns: tuple[str, ...]
    counts: JobCounts
    parts: tuple[Part, ...]
    model_version: str
    bundle_sha256: str

    def to_bytes(self) -> bytes:
        return self.model_dump_json(indent=2).encode() + b"\n"


def part_name(index: int, format_name: FormatName) -> str:
    """Return the file name of the part with this position; names in order of the alphabet are rows in order."""
    return f"part-{index:06d}.{format_name}"


def total(parts: Sequence[Part]) -> JobCounts:
    """Return the counts of all parts together."""
    return JobCounts(
        read=sum(part.rows for part in parts),
        scored=sum(part.scored for part in parts),
        rejected=sum(part.rejected for part in parts),
    )
