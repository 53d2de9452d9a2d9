"""`python -m training explain`: the reasons of a transaction, and how far they agree with TreeSHAP."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table as Grid

from core.bundle import Bundle, load_bundle
from core.explanation import Explainer
from core.json_document import read_json
from core.preprocessing import FieldValues
from core.scoring.embedded import EmbeddedScorer
from core.service import Prediction, ScoringService
from core.transactions import Transactions, TransactionSchema, tabulate
from training import options
from training.agreement import agreement
from training.bundle_columns import leaks_of
from training.data import Table, read_data
from training.documents import read_file
from training.errors import OptionError, TrainingError
from training.schema import TableSchema
from training.terminal import OUTPUT

MAX_SHOWN = 100
_BAR = 24
_N_TIMED = 50

Transaction = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="A request as JSON, one transaction or a batch; or a table of labelled transactions.",
        show_default=False,
    ),
]
RowOption = Annotated[
    int | None,
    typer.Option(
        min=1, help="Of a table: which of its distinct rows. Default: the fraud with the highest score.",
        show_default=False,
    ),
]  # fmt: skip
AgreementOption = Annotated[
    bool, typer.Option("--agreement", help="Of a table: compare the reasons of all its frauds with XGBoost's TreeSHAP.")
]
LabelOption = Annotated[str, typer.Option(metavar="COLUMN", help="Of a table: the truth, 1 is fraud.")]


def explain(
    bundle: options.BundleArgument,
    data: Transaction,
    row: RowOption = None,
    agree: AgreementOption = False,
    target: LabelOption = "Class",
) -> None:
    """Show why BUNDLE scores a transaction as it does."""
    explained = load_bundle(bundle)
    service = ScoringService(explained, EmbeddedScorer(explained))
    if service.explainer is None:
        raise TrainingError(
            f"{explained.version} has no baseline that reasons could be measured against: train it anew"
        )
    if data.endswith(".json"):
        if row is not None or agree:
            raise OptionError("--row and --agreement are of a table, not of a request")
        _show_all(service, service.explainer, _posted(explained, Path(data)))
        return
    table = read_data(data, _schema(explained, target)).table
    values = _completed(explained, table.values)
    if agree:
        _show_agreement(service, service.explainer, values[table.is_fraud])
    else:
        chosen = _chosen(service, table, values, row)
        _show_all(service, service.explainer, Transactions([f"row {chosen + 1}"], values[[chosen]]))


def _posted(bundle: Bundle, path: Path) -> Transactions:
    document, schema = read_json(read_file(path)), TransactionSchema(bundle.manifest.fields)
    if isinstance(document, dict) and "transactions" in document:
        return schema.parse_many(document, MAX_SHOWN)
    return tabulate([schema.parse_one(document)])


def _schema(bundle: Bundle, target: str) -> TableSchema:
    """Return the schema of a table with the fields of the bundle."""
    manifest = bundle.manifest
    used = {feature.field for feature in manifest.features}
    return TableSchema(
        fields=manifest.fields,
        feature_names=tuple(name for name in bundle.field_names if name in used),
        notice="",
        amount_field=bundle.field_names[0],
        label_column=target,
        time_field=None,
        optional_fields=frozenset(field.name for field in manifest.fields if field.if_missing is not None),
        allowed_leaks=frozenset(leaks_of(manifest)),
    )


def _completed(bundle: Bundle, values: FieldValues) -> FieldValues:
    stand_ins = [np.nan if field.if_missing is None else field.if_missing for field in bundle.manifest.fields]
    return np.where(np.isnan(values), stand_ins, values)


def _chosen(service: ScoringService, table: Table, values: FieldValues, row: int | None) -> int:
    if row is not None:
        if row > len(table):
            raise OptionError(f"--row {row}: the table has {len(table)} distinct rows")
        return row - 1
    frauds = np.flatnonzero(table.is_fraud)
    predictions = asyncio.run(service.score_many(Transactions([None] * len(frauds), values[frauds])))
    return int(frauds[np.argmax([prediction.fraud_score for prediction in predictions])])


def _show_all(service: ScoringService, explainer: Explainer, transactions: Transactions) -> None:
    for prediction in asyncio.run(service.explain_many(transactions, explainer)):
        OUTPUT.print(_reasons(prediction))


def _reasons(prediction: Prediction) -> Grid:
    name = "" if prediction.transaction_id is None else f"{prediction.transaction_id}: "
    title = f"{name}fraud score {prediction.fraud_score:.6f}, {prediction.decision}"
    grid = Grid("field", "value", "impact", "on the log-odds of fraud", title=title, title_justify="left")
    reasons = prediction.reasons or ()
    strongest = max((abs(reason.impact) for reason in reasons), default=1.0)
    for reason in reasons:
        bar = "█" * max(1, round(_BAR * abs(reason.impact) / strongest))
        colour = "red" if reason.direction == "raises" else "green"
        field = reason.feature if reason.label is None else f"{reason.label} ({reason.feature})"
        cells = field, f"{reason.value:g}", f"{reason.impact:+.3f}"
        grid.add_row(*cells, f"[{colour}]{bar}[/{colour}] {reason.direction}")
    return grid


def _show_agreement(service: ScoringService, explainer: Explainer, frauds: FieldValues) -> None:
    found = agreement(service.bundle, explainer, frauds)
    grid = Grid("figure", "value", title=f"{service.bundle.version}, reasons")
    grid.add_row("frauds", str(found.n_transactions))
    grid.add_row("strongest reason is TreeSHAP's", f"{found.top_1:.3f}")
    grid.add_row("of the three strongest are TreeSHAP's", f"{found.top_3:.3f}")
    grid.add_row("rows scored for one explanation", str(found.rows))
    grid.add_row("milliseconds for one, here", f"{_milliseconds(service, explainer, frauds[:_N_TIMED]):.1f}")
    OUTPUT.print(grid)


def _milliseconds(service: ScoringService, explainer: Explainer, values: FieldValues) -> float:
    async def one_by_one() -> float:
        started = time.perf_counter()
        for row in values:
            await service.explain_many(Transactions([None], row[np.newaxis]), explainer)
        return (time.perf_counter() - started) * 1000 / len(values)

    return asyncio.run(one_by_one())
