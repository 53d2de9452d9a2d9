import json

import numpy as np
import pytest

from training.schema import CREDITCARD
from training.simulate import QUANTILES, fit_simulator, load_simulator

NAMES = CREDITCARD.field_names


@pytest.fixture(scope="module")
def large(simulator):
    return simulator.draw(20_000, 5_000, seed=2)


def test_draw_same_seed_gives_the_same_rows(simulator):
    digests = [simulator.draw(200, 20, seed).digest() for seed in (1, 1, 2)]

    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(("n_legitimate", "n_frauds"), [(10, 3), (0, 5), (5, 0)])
def test_draw_gives_as_many_of_each_class_as_asked(simulator, n_legitimate, n_frauds):
    table = simulator.draw(n_legitimate, n_frauds, seed=1)

    assert (len(table), table.is_fraud.sum()) == (n_legitimate + n_frauds, n_frauds)


def test_draw_rows_follow_the_schema(large):
    time, amount = large.values[:, 0], large.values[:, -1]

    assert np.isfinite(large.values).all()
    assert (time >= 0).all() and (time == np.round(time)).all()
    assert (amount >= 0).all() and (amount == np.round(amount, 2)).all()
    assert (large.values == np.round(large.values, 6)).all()
    assert not np.signbit(large.values[large.values == 0.0]).any()


@pytest.mark.parametrize("name", ["legitimate", "fraud"])
def test_draw_quantiles_are_those_of_the_parameters(simulator, large, name):
    distribution = getattr(simulator, name)
    values = large.values[large.is_fraud == (name == "fraud")]

    middle = slice(4, -4)
    drawn = np.quantile(values, QUANTILES, axis=0).T[:, middle]
    spread = distribution.quantiles[:, -3] - distribution.quantiles[:, 2]
    assert np.abs(drawn - distribution.quantiles[:, middle]) / spread[:, np.newaxis] == pytest.approx(0.0, abs=0.06)


def test_draw_classes_differ_as_in_the_real_data(large):
    v14 = large.values[:, NAMES.index("V14")]

    assert np.median(v14[large.is_fraud]) < -5
    assert abs(np.median(v14[~large.is_fraud])) < 0.5
    # They overlap all the same.
    assert np.quantile(v14[large.is_fraud], 0.95) > np.quantile(v14[~large.is_fraud], 0.2)


def test_fit_simulator_of_simulated_rows_finds_the_parameters_again(simulator, large):
    again = fit_simulator(large, CREDITCARD)

    assert np.abs(again.fraud.correlation - simulator.fraud.correlation).max() < 0.15


def test_fit_simulator_few_rows_still_draw(simulator):
    few = fit_simulator(simulator.draw(25, 20, seed=1), CREDITCARD)

    assert np.isfinite(few.draw(50, 50, seed=1).values).all()


def test_to_json_is_read_back_unchanged(simulator, tmp_path):
    path = tmp_path / "simulator.json"
    path.write_text(simulator.to_json())

    assert load_simulator(CREDITCARD, path).to_json() == simulator.to_json()


def test_to_json_holds_aggregates_only(simulator):
    classes = json.loads(simulator.to_json())["classes"]

    assert set(classes) == {"legitimate", "fraud"}
    for each in classes.values():
        assert set(each) == {"quantiles", "correlation"}
        assert np.shape(each["quantiles"]) == (len(NAMES), len(QUANTILES))
    # Neither a smallest nor a largest value: those belong to one transaction.
    assert min(QUANTILES) > 0 and max(QUANTILES) < 1
