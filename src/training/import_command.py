"""`python -m training import`: a bundle from the files of an older project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from training import options
from training.columns import load_columns
from training.costs import AssumedCosts
from training.data import open_data
from training.legacy import fit_legacy, read_legacy, read_order
from training.options import SplitBy
from training.pipeline import train_bundle
from training.publish import check_target
from training.run import DEFAULT_SEED, Options
from training.terminal import print_data_report, print_summary, progress

BoosterOption = Annotated[
    Path, typer.Option(metavar="FILE", help="XGBoost model, JSON or UBJSON, as `save_model` writes it.")
]
OrderOption = Annotated[
    Path, typer.Option(metavar="FILE", help="JSON list of the features in the order of the booster's columns.")
]
ScalerOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A fitted StandardScaler, as joblib or pickle wrote it. Default: features are not scaled.",
        show_default=False,
    ),
]
TrustPickle = Annotated[
    bool,
    typer.Option(
        "--trust-pickle",
        help="Read the scaler although reading a pickle EXECUTES WHATEVER CODE IT HOLDS, with your rights. Give this "
        "only for a file whose maker you trust.",
    ),
]


def import_model(
    data: options.Data,
    booster: BoosterOption,
    order: OrderOption,
    out: options.OutDirectory,
    scaler: ScalerOption = None,
    trust_pickle: TrustPickle = False,
    columns: options.ColumnsFile = None,
    target: options.Target = None,
    amount: options.Amount = None,
    time: options.Time = None,
    weight: options.Weight = None,
    allow_leak: options.AllowLeak = None,
    split: options.SplitOption = SplitBy.random,
    seed: options.Seed = DEFAULT_SEED,
    name: Annotated[str, typer.Option(help="Name of the model: lower-case letters, digits, hyphens.")] = "imported",
    version: Annotated[str | None, typer.Option(help="Version of the model. Default: NAME-1.")] = None,
    prevalence: options.Prevalence = None,
    chargeback_fee: options.ChargebackFee = AssumedCosts.chargeback_fee,
    false_decline: options.FalseDecline = AssumedCosts.false_decline,
    review: options.ReviewCost = AssumedCosts.review,
) -> None:
    """Make a bundle of an older project's booster, feature order and scaler.

    Calibration and thresholds are chosen, and figures taken, on DATA: labelled rows, best such that the model was not
    trained on. Without --columns and --target the truth is in the column Class, and the amount in Amount.
    """
    check_target(out)
    legacy = read_legacy(booster, order, scaler, trust_pickle=trust_pickle)
    public = {"target": "Class", "amount": amount or "Amount", "uniform": "uniform_random"}
    own = {"target": target, "amount": amount}
    said = public if columns is None and target is None else own
    asked = load_columns(columns, **said, time=time, weight=weight, features=",".join(read_order(order)))
    chosen = Options(
        name=name,
        version=version or f"{name}-1",
        split=split.value,
        seed=seed,
        prevalence=prevalence,
        choose_steps=False,
        n_rotations=0,
        costs=AssumedCosts(chargeback_fee, false_decline, review),
        imported=legacy.sha256,
    )
    data_file, schema = open_data(data, asked, allow_leak or ())
    print_data_report(data_file, schema)
    with progress() as on_progress:
        bundle = train_bundle(data_file, schema, chosen, out, on_progress, fit_legacy(legacy))
    print_summary(bundle, out)
