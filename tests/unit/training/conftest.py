"""A small simulated table, and one model trained on it, for all tests of the training tools."""

import pytest

from training.cli import main
from training.data import read_data
from training.pipeline import train
from training.run import Options
from training.schema import CREDITCARD
from training.simulate import load_simulator

OPTIONS = Options(name="simulated", version="simulated-1", notice="Simulated rows.", n_rotations=1)


@pytest.fixture(scope="session")
def run_cli():
    """Return a function that runs one command and returns its exit code."""

    def run(*arguments):
        with pytest.raises(SystemExit) as exit_info:
            main([str(each) for each in arguments])
        return exit_info.value.code or 0

    return run


@pytest.fixture(scope="session")
def simulator():
    return load_simulator(CREDITCARD)


@pytest.fixture(scope="session")
def table(simulator):
    """2 850 legitimate transactions and 150 frauds."""
    return simulator.draw(2850, 150, seed=1)


@pytest.fixture(scope="session")
def data_file(tmp_path_factory, run_cli):
    path = tmp_path_factory.mktemp("data") / "simulated.csv"
    assert run_cli("simulate", "--rows", 3000, "--fraud-rate", 0.05, "--seed", 1, "--out", path) == 0
    return path


@pytest.fixture(scope="session")
def run(data_file):
    """Everything that came out of one training run."""
    return train(read_data(data_file, CREDITCARD), CREDITCARD, OPTIONS)


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory, run_cli, data_file):
    """The bundle that the command line makes of the same data with the same options."""
    out = tmp_path_factory.mktemp("models") / "simulated"
    names = ("--name", OPTIONS.name, "--version", OPTIONS.version, "--notice", OPTIONS.notice)
    assert run_cli("train", data_file, "--out", out, "--rotations", 1, *names) == 0
    return out
