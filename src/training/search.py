"""Looks for better parameters of the trees within a budget, on the rows that are not held out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from itertools import count
from typing import Any

import numpy as np
import optuna

from training.cross_validation import fold_figures
from training.data import Table
from training.rounding import significant
from training.run import Options
from training.schema import TableSchema
from training.split import N_FIFTHS, Split
from training.train import Parameters

OBJECTIVE = "average_precision"
MAX_RECORDED = 200
"""Trials that the manifest keeps; of more, the first and the best."""

_SPACE: dict[str, tuple[float, float, bool]] = {
    "eta": (0.02, 0.2, True),
    "subsample": (0.5, 1.0, False),
    "colsample_bytree": (0.2, 1.0, False),
    "min_child_weight": (0.5, 20.0, True),
    "reg_lambda": (0.1, 20.0, True),
}
"""Parameter -> lowest, highest, and whether its logarithm is drawn from evenly."""
_DEPTHS = (2, 8)
OnTrial = Callable[[float, str], None]
"""Told the share of the budget that is spent, and how good the best trial is."""


@dataclass(frozen=True)
class Trial:
    """One set of parameters, and what it reached on the folds that were fitted with it."""

    number: int
    parameters: dict[str, float]
    folds: tuple[float, ...]
    state: str
    """`complete`, or `pruned` when the folds so far were worse than those of half the earlier trials."""

    @property
    def value(self) -> float:
        """Mean over the folds; only that of complete trials can be compared."""
        return float(np.mean(self.folds))


@dataclass(frozen=True)
class SearchResult:
    """What was tried, and what is to be used."""

    parameters: Parameters
    trials: tuple[Trial, ...]
    confirmation: dict[str, float]
    """Mean figure of the given and of the best parameters with another seed, for other folds and other trees."""

    def describe(self) -> dict[str, Any]:
        """Return the manifest's `search`."""
        best = sorted(self.trials[1:], key=lambda trial: (trial.state != "complete", -trial.value))
        kept = sorted([self.trials[0], *best[: MAX_RECORDED - 1]], key=lambda trial: trial.number)
        return {
            "objective": OBJECTIVE,
            "n_trials": len(self.trials),
            "trials": [{**asdict(trial), "value": trial.value} for trial in kept],
            "confirmation": self.confirmation,
        }


def search(
    split: Split,
    schema: TableSchema,
    options: Options,
    prevalence: float,
    on_trial: OnTrial = lambda _share, _best: None,
    clock: Callable[[], float] = time.monotonic,
) -> SearchResult:
    """Try parameters until the budget is spent; the first trial is of those given.

    Every trial is the cross-validation of a whole training on the training and validation rows together; the holdout
    takes no part. The best of many trials is partly the luckiest. So it is tried once more, with another seed, beside
    the parameters given, and is used only if it is better again.

    A number of trials gives the same result every time. A time decides how many trials are made, and no more: one
    that is under way when the time is up is forgotten, but for the first. Trying the best once more comes on top.
    """
    rows = _joined(split.train, split.validation)

    def figures(parameters: Parameters, seed: int) -> Iterator[float]:
        tried = replace(options, parameters=parameters, seed=seed, n_rotations=N_FIFTHS)
        return (float(fold[OBJECTIVE]) for fold in fold_figures(rows, schema, tried, prevalence))

    trials = run_trials(options, lambda parameters: figures(parameters, options.seed), on_trial, clock)
    complete = [trial for trial in trials if trial.state == "complete"]
    best = _with(options.parameters, max(complete, key=lambda trial: trial.value).parameters)
    if best == options.parameters:
        return SearchResult(best, trials, {})
    confirmation = {
        name: float(np.mean(list(figures(parameters, options.seed + 1))))
        for name, parameters in (("given", options.parameters), ("best", best))
    }
    chosen = best if confirmation["best"] > confirmation["given"] else options.parameters
    return SearchResult(chosen, trials, confirmation)


def run_trials(
    options: Options,
    figures: Callable[[Parameters], Iterator[float]],
    on_trial: OnTrial,
    clock: Callable[[], float],
) -> tuple[Trial, ...]:
    """Make trials until the budget of the options is spent; `figures` yields what parameters reach, fold by fold."""
    study = _study(options)
    start = clock()
    trials: list[Trial] = []
    for number in count():
        spent = options.search.spent(number, clock() - start)
        best = max((trial.value for trial in trials if trial.state == "complete"), default=0.0)
        on_trial(spent, f"best {best:.4f}" if trials else "")
        if trials and spent >= 1.0:
            break
        asked = study.ask()
        suggested = _suggested(asked)
        folds: list[float] = []
        state = "complete"
        for step, figure in enumerate(figures(_with(options.parameters, suggested))):
            if trials and options.search.spent(0, clock() - start) >= 1.0:
                return tuple(trials)
            folds.append(figure)
            asked.report(float(np.mean(folds)), step)
            if asked.should_prune():
                state = "pruned"
                break
        trials.append(Trial(number, suggested, tuple(folds), state))
        study.tell(asked, trials[-1].value if state == "complete" else None, state=_STATES[state])
    return tuple(trials)


def _with(given: Parameters, suggested: dict[str, float]) -> Parameters:
    changes: dict[str, Any] = {**suggested, "max_depth": int(suggested["max_depth"])}
    return replace(given, **changes)


_STATES = {"complete": optuna.trial.TrialState.COMPLETE, "pruned": optuna.trial.TrialState.PRUNED}


def _study(options: Options) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=options.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
    )
    study.enqueue_trial({name: getattr(options.parameters, name) for name in ("max_depth", *_SPACE)})
    return study


def _suggested(trial: optuna.Trial) -> dict[str, float]:
    """Draw from the space, to three digits, which say all there is to say."""
    drawn = {name: trial.suggest_float(name, low, high, log=log) for name, (low, high, log) in _SPACE.items()}
    return {
        "max_depth": trial.suggest_int("max_depth", *_DEPTHS),
        **{name: float(significant(value, 3)) for name, value in drawn.items()},
    }


def _joined(first: Table, second: Table) -> Table:
    """Return the rows of both; a column that tables may lack, both have or neither."""
    columns: dict[str, Any] = {}
    for field in fields(Table):
        pair = (getattr(first, field.name), getattr(second, field.name))
        columns[field.name] = None if pair[0] is None else np.concatenate(pair)
    return Table(**columns)
