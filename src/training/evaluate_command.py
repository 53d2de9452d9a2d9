"""`python -m training evaluate`: a report of a bundle on labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from core.bundle import load_bundle
from training import options
from training.bundle_columns import columns_of
from training.data import open_data
from training.documents import write_file
from training.evaluate import N_RESAMPLES
from training.evaluation import Evaluation, draw, evaluate_bundle
from training.figures import figure_rows
from training.html_report import html_report
from training.run import DEFAULT_SEED
from training.terminal import OUTPUT, progress

REPORT = "report.html"

OutOption = Annotated[
    Path, typer.Option(metavar="DIR", help="Directory of the report and its pictures.", show_default=False)
]
EveryRow = Annotated[
    bool, typer.Option("--every-row", help="Not the holdout alone, if DATA are the rows that BUNDLE was trained on.")
]
Resamples = Annotated[int, typer.Option(min=1000, max=100_000, help="Bootstrap resamples behind each interval.")]


def evaluate(
    bundle: options.BundleArgument,
    data: options.Data,
    out: OutOption,
    every_row: EveryRow = False,
    resamples: Resamples = N_RESAMPLES,
    seed: options.Seed = DEFAULT_SEED,
) -> None:
    """Write a report of BUNDLE on DATA to DIR: one HTML page that loads nothing, and its pictures as PNG.

    If DATA are the rows that BUNDLE was trained on, its holdout is evaluated; of other data every row.
    """
    judged = load_bundle(bundle)
    with progress() as on_progress:
        on_progress("data", 0.0)
        data_file, schema = open_data(data, columns_of(judged))
        on_progress("data", 1.0)
        evaluation = evaluate_bundle(
            judged,
            data_file,
            schema,
            seed,
            every_row=every_row,
            n_resamples=resamples,
            on_progress=on_progress,
        )
        on_progress("report", 0.0)
        pictures = draw(evaluation, seed)
        page = html_report(evaluation, pictures)
        for name, content in {**pictures, REPORT: page.encode()}.items():
            write_file(out / name, content)
        on_progress("report", 1.0)
    _show(evaluation, out)


def _show(evaluation: Evaluation, out: Path) -> None:
    table = Table("figure", "value", "95 % interval", title=evaluation.bundle.version)
    for each in figure_rows(evaluation.metrics):
        table.add_row(each["title"], each["value"], each["interval"])
    OUTPUT.print(table)
    scored = evaluation.stream.scored
    OUTPUT.print(
        f"{scored.n_frauds} frauds and {scored.n_legitimate} legitimate rows: {evaluation.rows}.",
        highlight=False,
        soft_wrap=True,
    )
    OUTPUT.print(f"Report: {out / REPORT}", markup=False, highlight=False, soft_wrap=True)
