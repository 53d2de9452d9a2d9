"""What the command line shows: bars while it works, a summary when it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from core.bundle import Bundle
from training.data import DataFile
from training.pipeline import OnProgress
from training.policies import rule_in_words
from training.schema import TableSchema

OUTPUT = Console()
ERRORS = Console(stderr=True)


@contextmanager
def progress() -> Iterator[OnProgress]:
    """Show one bar for each step that is told of."""
    text, note = TextColumn("{task.description:10}"), TextColumn("{task.fields[note]}")
    columns = (text, BarColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), note)
    with Progress(*columns, console=ERRORS) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: str, share: float, note: str = "", /) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=1.0, note=note)
            bars.update(tasks[step], completed=share, note=note)

        yield show


def print_data_report(data: DataFile, schema: TableSchema) -> None:
    """Show what was read, and what is odd about it, before anything is trained."""
    table = Table("column", "used as", title="data", title_justify="left")
    used = {
        schema.label_column: "target",
        **{name: "weight" for name in (schema.weight_column,) if name},
        **{name: "marks the uniform sample" for name in (schema.uniform_column,) if name and data.has_uniform_column},
        **{name: "time" for name in (schema.time_field,) if name},
        schema.amount_field: "amount",
    }
    for name, use in used.items():
        table.add_row(name, f"{use}, feature" if name in schema.feature_names else use)
    others = [name for name in schema.feature_names if name not in used]
    table.add_row(_shortened(others), "feature" if len(others) == 1 else f"{len(others)} features")
    if data.ignored_columns:
        table.add_row(_shortened(data.ignored_columns), "not used")
    OUTPUT.print(table)
    n_frauds = int(data.table.is_fraud.sum())
    OUTPUT.print(
        f"{data.n_rows} rows, {data.n_duplicates} of them exact duplicates; {n_frauds} distinct frauds, "
        f"{len(data.table) - n_frauds} distinct others",
        soft_wrap=True,
    )
    for warning in data.warnings:
        OUTPUT.print(f"warning: {warning}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 8 else f"{', '.join(names[:3])} … {names[-1]}"


def print_summary(bundle: Bundle, out: Path) -> None:
    """Show how good a new bundle is, and what was done to the rows."""
    manifest = bundle.manifest
    table = Table("figure", "value", "95 % interval", title=f"{bundle.version}, holdout")
    for name, metric in manifest.holdout.metrics.items():
        table.add_row(name, f"{metric.value:.5f}", f"{metric.low:.5f} to {metric.high:.5f}")
    OUTPUT.print(table)
    data, split = manifest.training["data"], manifest.training["split"]
    OUTPUT.print(
        f"{data['rows']} rows read. {data['exact_duplicates_dropped']} exact duplicates dropped; "
        f"{split['rows_grouped_with_an_equal_one']} rows kept in one part with another of equal features.",
        soft_wrap=True,
    )
    OUTPUT.print(
        f"{manifest.holdout.n_frauds} frauds and {manifest.holdout.n_legitimate} legitimate rows in the holdout. "
        f"{rule_in_words(manifest.thresholds)}",
        soft_wrap=True,
    )
    OUTPUT.print(f"Bundle: {out}", markup=False, soft_wrap=True)
