"""`python -m training train`, and `repeat`, which trains again as a manifest says."""

from __future__ import annotations

from collections.abc import Sequence

from training import options
from training.bundle_columns import leaks_of
from training.columns import Columns, load_columns
from training.costs import AssumedCosts
from training.data import DataFile, open_data
from training.options import SplitBy
from training.pipeline import train_bundle
from training.repeat import check_same, options_of, read_manifest
from training.run import DEFAULT_SEED, Options, SearchBudget
from training.schema import TableSchema
from training.split import N_FIFTHS
from training.terminal import OUTPUT, print_data_report, print_summary, progress
from training.train import Parameters


def train(
    data: options.Data,
    out: options.OutDirectory,
    columns: options.ColumnsFile = None,
    target: options.Target = None,
    amount: options.Amount = None,
    time: options.Time = None,
    weight: options.Weight = None,
    features: options.Features = None,
    allow_leak: options.AllowLeak = None,
    split: options.SplitOption = SplitBy.random,
    seed: options.Seed = DEFAULT_SEED,
    seeds: options.Seeds = 1,
    increasing: options.Increasing = None,
    decreasing: options.Decreasing = None,
    search_trials: options.SearchTrials = None,
    search_minutes: options.SearchMinutes = None,
    name: options.Name = "creditcard",
    version: options.Version = None,
    prevalence: options.Prevalence = None,
    chargeback_fee: options.ChargebackFee = AssumedCosts.chargeback_fee,
    false_decline: options.FalseDecline = AssumedCosts.false_decline,
    review: options.ReviewCost = AssumedCosts.review,
    rotations: options.Rotations = N_FIFTHS,
    notice: options.Notice = None,
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
        parameters=Parameters(n_seeds=seeds, increasing=tuple(increasing or ()), decreasing=tuple(decreasing or ())),
        search=SearchBudget(search_trials, search_minutes),
    )
    data_file, schema = _read(data, asked, allow_leak or ())
    with progress() as on_progress:
        bundle = train_bundle(data_file, schema, chosen, out, on_progress)
    print_summary(bundle, out)


def repeat(
    manifest: options.ManifestArgument,
    data: options.Data,
    out: options.OutDirectory,
    columns: options.ColumnsFile = None,
    target: options.Target = None,
    amount: options.Amount = None,
    time: options.Time = None,
    weight: options.Weight = None,
    features: options.Features = None,
) -> None:
    """Train again as MANIFEST says, on the same DATA, and compare the bundles byte for byte.

    Columns are to be given as they were then. Exit code 1: something came out differently.
    """
    first = read_manifest(manifest)
    asked = load_columns(columns, target=target, amount=amount, time=time, weight=weight, features=features)
    data_file, schema = _read(data, asked, leaks_of(first))
    chosen = options_of(first, data_file)
    with progress() as on_progress:
        again = train_bundle(data_file, schema, chosen, out, on_progress)
    check_same(first, again)
    OUTPUT.print(f"The same bytes as then: {out}", markup=False, soft_wrap=True)


def _read(data: list[str], asked: Columns | None, allowed_leaks: Sequence[str]) -> tuple[DataFile, TableSchema]:
    with progress() as on_progress:
        on_progress("data", 0.0)
        data_file, schema = open_data(data, asked, allowed_leaks)
        on_progress("data", 1.0)
    print_data_report(data_file, schema)
    return data_file, schema
