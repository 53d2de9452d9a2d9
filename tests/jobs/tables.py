"""Tables of the tiny bundle in every format, and what a result says of them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from core.jobs.records import FormatName
from core.jobs.results import ResultManifest

FORMATS: tuple[FormatName, ...] = ("csv", "csv.gz", "jsonl", "parquet")


def table(n_rows: int, seed: int = 1) -> list[dict[str, Any]]:
    """Return rows that the tiny bundle scores; `shop` is a column of which it knows nothing."""
    generator = random.Random(seed)
    return [
        {
            "transaction_id": f"t-{index}",
            "json": round(generator.uniform(-10, 10), 3),
            "class": generator.randrange(5),
            "log.amount": round(generator.uniform(0, 400), 2),
            "shop": generator.choice(['Jo"s', "a, b", "Ünal"]),
        }
        for index in range(n_rows)
    ]


def encode(rows: list[dict[str, Any]], name: FormatName) -> bytes:
    """Return the file."""
    if name == "parquet":
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), file)
        return file.getvalue()
    if name == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return gzip.compress(text.getvalue().encode(), mtime=0) if name == "csv.gz" else text.getvalue().encode()


def decode(raw: bytes, name: FormatName) -> list[dict[str, Any]]:
    """Return the rows of one part; numbers as numbers, what is not there as None."""
    if name == "parquet":
        return list(pq.read_table(io.BytesIO(raw)).to_pylist())
    if name == "jsonl":
        return [json.loads(line) for line in raw.splitlines()]
    text = gzip.decompress(raw) if name == "csv.gz" else raw
    found = list(csv.DictReader(io.StringIO(text.decode(), newline="")))
    for row in found:
        row["fraud_score"] = float(row["fraud_score"]) if row["fraud_score"] else None  # type: ignore[assignment]
        row["decision"] = row["decision"] or None  # type: ignore[assignment]
    return found


def result_of(folder: Path) -> tuple[ResultManifest, list[dict[str, Any]]]:
    """Return the manifest and the rows of all parts, in order."""
    manifest = ResultManifest.model_validate_json((folder / "manifest.json").read_bytes())
    parts = [decode((folder / part.name).read_bytes(), manifest.format) for part in manifest.parts]
    return manifest, [row for part in parts for row in part]
