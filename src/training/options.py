"""Arguments and options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from training.split import N_FIFTHS
from training.weighting import CREDITCARD_PREVALENCE

Data = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA...",
        help="Labelled transactions: CSV, plain or gzipped, or Parquet; files, patterns such as 'days/*.csv', or "
        "openml:1597. Several are read as one table.",
        show_default=False,
    ),
]
OutDirectory = Annotated[
    Path, typer.Option(metavar="DIR", help="Directory of the bundle; a bundle there is replaced.", show_default=False)
]
Seed = Annotated[int, typer.Option(min=0, help="Same seed and same input: same bytes.")]
Prevalence = Annotated[
    float | None,
    typer.Option(
        min=1e-6,
        max=0.5,
        help="Share of frauds in the real world. Default: the file's own; for a file with uniform_random "
        f"{CREDITCARD_PREVALENCE:.6f}, as in the whole public data set (492 of 284,807).",
    ),
]
ColumnsFile = Annotated[
    Path | None,
    typer.Option(
        "--columns",
        metavar="FILE",
        help="YAML file that says what the columns are. Without it and without --target: the public data set's.",
        show_default=False,
    ),
]
Target = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The truth: 1 is fraud, 0 is not.", show_default=False)
]
Amount = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The amount, in which costs are counted.", show_default=False)
]
Time = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN", help="When it happened; orders the rows for --split out-of-time.", show_default=False
    ),
]
Weight = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help="How many real transactions a row stands for: in every figure and rate, and among the rows of its class "
        "when trees are grown.",
        show_default=False,
    ),
]
Features = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,...",
        help="Columns for the model. Default: every column of numbers that is not used otherwise.",
        show_default=False,
    ),
]
AllowLeak = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-leak",
        metavar="COLUMN",
        help="Let this feature in although it tells frauds by itself, which is refused otherwise. The model card says "
        "so. May be repeated.",
        show_default=False,
    ),
]
BundleArgument = Annotated[
    Path, typer.Argument(metavar="BUNDLE", help="Directory of a model bundle.", show_default=False)
]
LossShare = Annotated[float, typer.Option(min=0, max=10, help="Share of its amount that an approved fraud loses.")]
ChargebackFee = Annotated[float, typer.Option(min=0, help="Cost of an approved fraud, on top of its amount.")]
FalseDecline = Annotated[float, typer.Option(min=0, help="Cost of declining a legitimate transaction.")]
ReviewCost = Annotated[float, typer.Option(min=0, help="Cost of one review.")]
ReviewsPerDay = Annotated[
    float | None, typer.Option(min=0, help="Most reviews a day. Default: as many as pay.", show_default=False)
]
TransactionsPerDay = Annotated[
    float | None,
    typer.Option(min=1, help="Transactions a day: turns shares into numbers a day.", show_default=False),
]


class SplitBy(str, Enum):
    """How rows are divided; an enumeration, as typer of Python 3.10 wants it."""

    random = "random"
    out_of_time = "out-of-time"


SplitOption = Annotated[
    SplitBy,
    typer.Option(
        "--split",
        help="random: stratified. out-of-time: train on what came first, hold out what came last, by the time column.",
    ),
]

Name = Annotated[str, typer.Option(help="Name of the model: lower-case letters, digits, hyphens.")]
Version = Annotated[str | None, typer.Option(help="Version of the model. Default: NAME-2026.11.1.")]
Rotations = Annotated[
    int, typer.Option(min=1, max=N_FIFTHS, help="How many fifths to hold out in turn, to see what one split hides.")
]
Notice = Annotated[
    str | None,
    typer.Option(
        show_default=False,
        help="Origin and licence of the data, for the model card. Default: what the columns file says, or those of "
        "the public data set.",
    ),
]
Seeds = Annotated[
    int, typer.Option(min=1, max=50, help="Boosters that differ by their seed alone, averaged into one model.")
]
Increasing = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FEATURE", help="The score never falls as this feature rises. May be repeated.", show_default=False
    ),
]
Decreasing = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FEATURE", help="The score never rises as this feature rises. May be repeated.", show_default=False
    ),
]
SearchTrials = Annotated[
    int | None,
    typer.Option(min=1, max=10_000, help="Search for better parameters: this many trials.", show_default=False),
]
SearchMinutes = Annotated[
    float | None,
    typer.Option(
        min=0.1,
        help="Search for better parameters: no trial begins after this time. The first is always finished, and trying "
        "the best once more, with another seed, comes on top.",
        show_default=False,
    ),
]
ManifestArgument = Annotated[
    Path,
    typer.Argument(metavar="MANIFEST", help="manifest.json of the bundle that was trained.", show_default=False),
]
