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
from training.costs import AssumedCosts
from training.data import open_data, read_data
from training.documents import suffix_of, table_bytes, write_file
from training.errors import ExportError, TrainingError
from training.evaluate_command import evaluate
from training.events import sample_events
from training.options import SplitBy
from training.pipeline import train_bundle
from training.run import DEFAULT_SEED, Options
from training.schema import CREDITCARD
from training.simulate import SHIPPED_PARAMETERS, fit_simulator, load_simulator
from training.split import N_FIFTHS, split_table
from training.terminal import ERRORS, OUTPUT, print_data_report, print_summary, progress
from training.thresholds_command import thresholds
from training.weighting import CREDITCARD_PREVALENCE

app = typer.Typer(
    help="Train a fraud model from labelled transactions, and simulate transactions. All of it works offline.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RotationsOption = Annotated[
    int, typer.Option(min=1, max=N_FIFTHS, help="How many fifths to hold out in turn, to see what one split hides.")
]
NoticeOption = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        help="Origin and licence of the data, for the model card. Default: what the columns file says, or those of "
        "the public data set.",
    ),
]


@app.command()
def train(
    data: options.Data,
    out: options.OutDirectory,
    columns: options.ColumnsFile = None,
    target: options.Target = None,
    amount: options.Amount = None,
    time: options.Time = None,
    weight: options.Weight = None,
    features: options.Features = None,
    split: options.SplitOption = SplitBy.random,
    seed: options.Seed = DEFAULT_SEED,
    name: Annotated[str, typer.Option(help="Name of the model: lower-case letters, digits, hyphens.")] = "creditcard",
    version: Annotated[str | None, typer.Option(help="Version of the model. Default: NAME-2026.11.1.")] = None,
    prevalence: options.Prevalence = None,
    chargeback_fee: Annotated[float, typer.Option(min=0, help="Cost of an approved fraud, on top of its amount.")] = (
        AssumedCosts.chargeback_fee
    ),
    false_decline: Annotated[float, typer.Option(min=0, help="Cost of declining a legitimate transaction.")] = (
        AssumedCosts.false_decline
    ),
    review: Annotated[float, typer.Option(min=0, help="Cost of one review.")] = AssumedCosts.review,
    rotations: RotationsOption = N_FIFTHS,
    notice: NoticeOption = None,
) -> None:
    """Train a model on DATA and write a verified bundle to DIR.

    The file may have one more column, uniform_random: 1 marks the legitimate rows that are a uniform sample
    of all. Then only those, and all frauds, count in figures, weighted to the real prevalence.
    """
    asked = load_columns(columns, target=target, amount=amount, time=time, weight=weight, features=features)
    chosen = Options(
        name=name,
        version=version or f"{name}-2026.11.1",
        notice=notice,
        split=split.value,
        seed=seed,
        prevalence=prevalence,
        n_rotations=rotations,
        costs=AssumedCosts(chargeback_fee, false_decline, review),
    )
    with progress() as on_progress:
        on_progress("data", 0.0)
        data_file, schema = open_data(data, asked)
        on_progress("data", 1.0)
    print_data_report(data_file, schema)
    with progress() as on_progress:
        bundle = train_bundle(data_file, schema, chosen, out, on_progress)
    print_summary(bundle, out)


@app.command()
def simulate(
    rows: Annotated[int, typer.Option(min=1, max=10_000_000, help="Number of transactions.")],
    out: Annotated[
        Path,
        typer.Option(metavar="FILE", help=".csv, .csv.gz: with labels, to train on. .json: a batch request."),
    ],
    fraud_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of frauds.")] = round(CREDITCARD_PREVALENCE, 6),
    seed: options.Seed = DEFAULT_SEED,
) -> None:
    """Write simulated transactions, in the order of time, like those of the public data set. None of them is real."""
    suffix = suffix_of(out)
    n_frauds = round(rows * fraud_rate)
    table = load_simulator(CREDITCARD).draw(rows - n_frauds, n_frauds, seed)
    in_time = table.take(table.values[:, 0].argsort(kind="stable"))
    write_file(out, table_bytes(in_time, CREDITCARD, suffix))
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
app.command()(thresholds)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; one message in place of a traceback for every expected error."""
    try:
        app(arguments)
    except (TrainingError, FraudScoringError) as error:
        ERRORS.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1 if isinstance(error, ExportError) else 2)
