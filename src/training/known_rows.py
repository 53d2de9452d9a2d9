"""Rows that a bundle has met before: the parts of its own split, found again by their digests."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np

from core.bundle import Bundle
from core.calibration import Scores
from core.preprocessing import FieldValues
from core.scoring.embedded import EmbeddedScorer
from training.data import DataFile, Table
from training.evaluate import Scored
from training.policies import Stream
from training.schema import FeaturePlan, TableSchema
from training.split import Split, SplitKind, split_table
from training.weighting import real_world_weights


def own_split(bundle: Bundle, data: DataFile, schema: TableSchema) -> Split | None:
    """Return the split that the bundle was trained with, or None if `data` is not what it was trained on.

    The file must have the sha256 in the manifest, and each part that comes out the digest recorded there: a split
    that only looks like it would hand out training rows as a holdout.
    """
    training = bundle.manifest.training
    if training.get("data", {}).get("sha256") != data.sha256:
        return None
    recorded = {name: part["sha256"] for name, part in training["split"]["parts"].items()}
    kind: SplitKind = training["split"].get("by", "random")
    # Of the steps that were tried, one alone changes rows: what stands for a missing value.
    for missing_below in (False, True):
        planned = replace(schema, plan=FeaturePlan(missing_below=missing_below))
        split = split_table(data.table, planned, training["seed"], kind=kind)
        if {name: part.digest() for name, part in split.parts().items()} == recorded:
            return split
        if not schema.optional_fields:
            break
    return None


def completed(bundle: Bundle, table: Table) -> Table:
    """Put what the bundle says stands for it in the place of each missing value, as serving does."""
    stand_ins = [np.nan if field.if_missing is None else field.if_missing for field in bundle.manifest.fields]
    return replace(table, values=np.where(np.isnan(table.values), stand_ins, table.values))


def fraud_scores(bundle: Bundle, values: FieldValues) -> Scores:
    """Return the fraud scores that the service would answer, shape (n_rows,)."""
    raw_scores = asyncio.run(EmbeddedScorer(bundle).score(bundle.preprocessor.transform(values)))
    return bundle.manifest.calibration.probabilities(raw_scores)


def stream_of(bundle: Bundle, table: Table, schema: TableSchema, prevalence: float) -> Stream:
    """Score a table as the service would, weighted to `prevalence`."""
    scores = fraud_scores(bundle, table.values)
    return Stream.of(Scored.of(scores, table.is_fraud, real_world_weights(table, prevalence)), table, schema)
