"""Rows that a bundle has met before: the parts of its own split, found again by their digests."""

from __future__ import annotations

import asyncio

from core.bundle import Bundle
from core.calibration import Scores
from core.preprocessing import FieldValues
from core.scoring.embedded import EmbeddedScorer
from training.data import DataFile, Table
from training.evaluate import Scored
from training.policies import Stream
from training.schema import TableSchema
from training.split import Split, split_table
from training.weighting import real_world_weights


def own_split(bundle: Bundle, data: DataFile, schema: TableSchema) -> Split | None:
    """Return the split that the bundle was trained with, or None if `data` is not what it was trained on.

    The file must have the sha256 in the manifest, and each part that comes out the digest recorded there: a split
    that only looks like it would hand out training rows as a holdout.
    """
    training = bundle.manifest.training
    if training.get("data", {}).get("sha256") != data.sha256:
        return None
    split = split_table(data.table, schema, training["seed"])
    recorded = {name: part["sha256"] for name, part in training["split"]["parts"].items()}
    return split if {name: part.digest() for name, part in split.parts().items()} == recorded else None


def fraud_scores(bundle: Bundle, values: FieldValues) -> Scores:
    """Return the fraud scores that the service would answer, shape (n_rows,)."""
    raw_scores = asyncio.run(EmbeddedScorer(bundle).score(bundle.preprocessor.transform(values)))
    return bundle.manifest.calibration.probabilities(raw_scores)


def stream_of(bundle: Bundle, table: Table, schema: TableSchema, prevalence: float) -> Stream:
    """Score a table as the service would, weighted to `prevalence`."""
    scores = fraud_scores(bundle, table.values)
    return Stream.of(Scored.of(scores, table.is_fraud, real_world_weights(table, prevalence)), table, schema)
