from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from tests.unit.training.conftest import OPTIONS
from training.data import Table
from training.run import SearchBudget
from training.schema import CREDITCARD
from training.search import MAX_RECORDED, SearchResult, Trial, run_trials, search
from training.split import Split
from training.train import Parameters

FEW = Parameters(max_rounds=12, min_rounds=6, patience=6)


def options(**budget):
    return replace(OPTIONS, parameters=FEW, search=SearchBudget(**budget))


def hill(parameters):
    """Five folds of a figure that is best at eta 0.1 and depth 5."""
    for fold in range(5):
        yield 0.8 - abs(parameters.eta - 0.1) - 0.01 * abs(parameters.max_depth - 5) + 0.01 * fold


def trials_of(clock=lambda: 0.0, on_trial=lambda share, note: None, **budget):
    return run_trials(options(**budget), hill, on_trial, clock)


def ticking(seconds):
    """A clock that moves by so many seconds whenever it is looked at: at the start, before a trial, after a fold."""
    ticks = count(0, seconds)
    return lambda: float(next(ticks))


def test_run_trials_depends_on_the_number_and_the_seed_alone():
    assert trials_of(trials=30) == trials_of(trials=30)
    assert trials_of(trials=12) == trials_of(trials=30)[:12]
    other = replace(options(trials=3), seed=OPTIONS.seed + 1)
    assert run_trials(other, hill, lambda share, note: None, lambda: 0.0)[1:] != trials_of(trials=3)[1:]


def test_run_trials_begins_with_the_given_parameters_and_finds_better_ones():
    trials = trials_of(trials=40)

    assert trials[0].parameters == {name: getattr(FEW, name) for name in trials[0].parameters}
    assert [trial.number for trial in trials] == list(range(40))
    best = max((trial for trial in trials if trial.state == "complete"), key=lambda trial: trial.value)
    assert best.value > trials[0].value + 0.03
    assert abs(best.parameters["eta"] - 0.1) < 0.03


def test_run_trials_ends_what_falls_behind_the_median():
    trials = trials_of(trials=40)
    pruned = [trial for trial in trials if trial.state == "pruned"]

    assert 5 < len(pruned) < 35
    assert all(trial.state == "complete" for trial in trials[:5])
    assert all(len(trial.folds) < 5 for trial in pruned)
    assert all(len(trial.folds) == 5 for trial in trials if trial.state == "complete")


def test_run_trials_time_ends_them_amid_one_and_only_whole_ones_count():
    clock = ticking(6)

    timed = trials_of(clock, minutes=2)

    assert 2 <= len(timed) <= 4
    assert timed == trials_of(trials=10)[: len(timed)]
    assert clock() <= 120 + 2 * 6


def test_run_trials_without_time_still_makes_the_first():
    assert trials_of(ticking(1000), minutes=0.1) == trials_of(trials=1)


def test_run_trials_whichever_budget_is_spent_first_ends_them():
    assert len(trials_of(ticking(1), trials=2, minutes=60)) == 2


def test_run_trials_tells_how_far_and_how_good_they_are():
    told = []
    trials_of(trials=2, on_trial=lambda share, note: told.append((share, note)))

    assert [share for share, _ in told] == [0.0, 0.5, 1.0]
    assert [note for _, note in told] == ["", "best 0.7600", "best 0.7600"] or told[2][1] > "best 0.7600"


@pytest.fixture(scope="module")
def split(run):
    """A few rows of each part, enough for a trial in less than a second."""
    parts = {}
    for name, part in run.split.parts().items():
        frauds, others = np.flatnonzero(part.is_fraud)[:30], np.flatnonzero(~part.is_fraud)[:300]
        parts[name] = part.take(np.sort(np.concatenate([frauds, others])))
    return Split(**parts, n_grouped=0)


@pytest.fixture(scope="module")
def found(split):
    return search(split, CREDITCARD, options(trials=3), 0.05)


def test_search_holdout_rows_change_nothing(split, found):
    others = Table(split.holdout.values * 3 + 1, ~split.holdout.is_fraud, split.holdout.is_uniform)

    assert search(replace(split, holdout=others), CREDITCARD, options(trials=3), 0.05) == found


def test_search_uses_the_best_only_if_it_is_better_with_another_seed_too(found):
    best = max((trial for trial in found.trials if trial.state == "complete"), key=lambda trial: trial.value)
    used = {name: getattr(found.parameters, name) for name in best.parameters}

    if best.number == 0:
        assert (used, found.confirmation) == (best.parameters, {})
    else:
        is_confirmed = found.confirmation["best"] > found.confirmation["given"]
        assert used == (best if is_confirmed else found.trials[0]).parameters
    assert found.parameters.max_rounds == FEW.max_rounds


def test_describe_keeps_the_first_and_the_best_of_many_trials():
    trials = tuple(Trial(number, {}, (0.5 + number / 1000,), "complete") for number in range(300))

    described = SearchResult(FEW, trials, {}).describe()

    assert described["n_trials"] == 300
    assert len(described["trials"]) == MAX_RECORDED
    assert [trial["number"] for trial in described["trials"][:2]] == [0, 101]


@pytest.mark.parametrize(
    ("trials", "minutes", "spent"), [(4, None, 0.5), (None, 1.0, 0.75), (4, 1.0, 0.75), (1, 9.0, 1.0)]
)
def test_search_budget_is_spent_when_either_is(trials, minutes, spent):
    assert SearchBudget(trials, minutes).spent(2, 45.0) == spent
