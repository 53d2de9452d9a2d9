"""The command line: `python -m training COMMAND`. Exit codes: 0 done, 1 a proof failed, 2 usage or bad input."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from core.bundle import load_bundle
from core.errors import FraudScoringError
from training import options
from training.columns import load_columns
from training.data import read_data
from training.documents import suffix_of, table_bytes, write_file
from training.errors import ExportError, TrainingError
from training.evaluate_command import evaluate
from training.events import sample_events
from training.explain_command import explain
from training.import_command import import_model
from training.invented import invent_simulator
from training.run import DEFAULT_SEED
from training.schema import CREDITCARD
from training.simulate import SHIPPED_PARAMETERS, fit_simulator, load_simulator
from training.split import split_table
from training.terminal import ERRORS, OUTPUT
from training.thresholds_command import thresholds
from training.train_command import repeat, train
from training.weighting import CREDITCARD_PREVALENCE

app = typer.Typer(
    help="Train a fraud model from labelled transactions, and simulate transactions. All of it works offline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command()(train)
app.command()(repeat)


@app.command()
def simulate(
    rows: Annotated[int, typer.Option(min=1, max=10_000_000, help="Number of transactions.")],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help=".csv, .csv.gz: with labels, to train on. .json: a batch request."),
    ],
    fraud_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of frauds.")] = round(CREDITCARD_PREVALENCE, 6),
    columns: options.ColumnsFile = None,
    seed: options.Seed = DEFAULT_SEED,
) -> None:
    """Write simulated transactions, in the order of time. None of them is real.

    They are like those of the public data set; with --columns, which must then name the features, they have those
    columns and made-up distributions, to try the whole path before there are data.
    """
    suffix = suffix_of(out)
    n_frauds = round(rows * fraud_rate)
    asked = load_columns(columns)
    simulator = load_simulator(CREDITCARD) if asked is None else invent_simulator(asked.table_schema(()), seed)
    table = simulator.draw(rows - n_frauds, n_frauds, seed)
    schema = simulator.schema
    if schema.time_column is not None:
        table = table.take(table.values[:, schema.time_column].argsort(kind="stable"))
    write_file(out, table_bytes(table, schema, suffix))
    OUTPUT.print(f"{rows} simulated transactions, {n_frauds} of them frauds: {out}", soft_wrap=True)


@app.command()
def events(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Directory of the sample requests.")] = Path("events"),
    bundle: Annotated[Path, typer.Option(metavar="DIR", help="The bundle that is to approve and decline them.")] = Path(
        "models/creditcard"
    ),
    seed: options.Seed = DEFAULT_SEED,
) -> None:
    """Write sample requests made of simulated transactions."""
    files = sample_events(load_bundle(bundle), load_simulator(CREDITCARD), seed)
    for name, text in files.items():
        write_file(out / name, text.encode())
    OUTPUT.print(f"{len(files)} sample requests: {out}", soft_wrap=True)


@app.command("fit-simulator")
def fit_simulator_command(
    data: options.Data,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The simulator's parameters.")] = SHIPPED_PARAMETERS,
    seed: options.Seed = DEFAULT_SEED,
) -> None:
    """Learn the simulator's parameters from the training rows of DATA: quantiles and correlations, no row."""
    split = split_table(read_data(data, CREDITCARD).table, CREDITCARD, seed)
    write_file(out, fit_simulator(split.train, CREDITCARD).to_json().encode())
    OUTPUT.print(f"Parameters of the simulator: {out}", soft_wrap=True)


app.command()(evaluate)
app.command()(explain)
app.command()(thresholds)
app.command("import")(import_model)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; one message in place of a traceback for every expected error."""
    try:
        app(arguments)
    except (TrainingError, FraudScoringError) as error:
        ERRORS.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1 if isinstance(error, ExportError) else 2)
