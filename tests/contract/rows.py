"""The transactions that the table sends: golden cases of the shipped bundle, whose scores are on record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

from tests.contract.case import Row
from tests.repository import BUNDLE


@dataclass(frozen=True)
class Rows:
    """The golden transactions, their recorded fraud scores, the ranges of their fields, and the bundle's version."""

    version: str
    golden: tuple[Row, ...]
    fraud_scores: tuple[float, ...]
    minima: Row
    maxima: Row

    @cached_property
    def names(self) -> list[str]:
        return list(self.minima)

    @cached_property
    def fraud(self) -> Row:
        return max(zip(self.fraud_scores, self.golden, strict=True), key=lambda pair: pair[0])[1]

    @cached_property
    def legitimate(self) -> Row:
        return min(zip(self.fraud_scores, self.golden, strict=True), key=lambda pair: pair[0])[1]

    def many(self, n: int) -> list[Row]:
        """Return `n` transactions, round and round."""
        return [self.golden[i % len(self.golden)] for i in range(n)]


def shipped_rows() -> Rows:
    """Read the rows from the shipped bundle's files, with its fields in the bundle's order."""
    manifest = json.loads((BUNDLE / "manifest.json").read_bytes())
    golden = json.loads((BUNDLE / "golden.json").read_bytes())
    names = [field["name"] for field in manifest["fields"]]
    return Rows(
        version=manifest["version"],
        golden=tuple({name: case[name] for name in names} for case in golden["transactions"]),
        fraud_scores=tuple(golden["fraud_scores"]),
        minima={field["name"]: field["minimum"] for field in manifest["fields"]},
        maxima={field["name"]: field["maximum"] for field in manifest["fields"]},
    )
