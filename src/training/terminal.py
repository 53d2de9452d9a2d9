"""What the command line shows: bars while it works, a summary when it is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from core.bundle import Bundle
from training.pipeline import OnProgress
from training.policies import rule_in_words

OUTPUT = Console()
ERRORS = Console(stderr=True)


@contextmanager
def progress() -> Iterator[OnProgress]:
    """Show one bar for each step that is told of."""
    columns = (TextColumn("{task.description:10}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERRORS) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: str, share: float) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=1.0)
            bars.update(tasks[step], completed=share)

        yield show


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
