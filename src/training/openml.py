"""Public data sets by their number at OpenML."""

from __future__ import annotations

import re
import warnings

import pandas as pd
from sklearn.datasets import fetch_openml

from training.errors import DataError

PREFIX = "openml:"


def fetch(name: str) -> pd.DataFrame:
    """Return the table that ``openml:NUMBER`` names, from scikit-learn's cache if it is there.

    Raises
    ------
    DataError
        It is no number, OpenML does not know it, or OpenML cannot be reached.
    """
    number = re.fullmatch(rf"{PREFIX}([1-9][0-9]{{0,8}})", name)
    if number is None:
        raise DataError(name, ["give the number of a data set, as in openml:1597"])
    try:
        with warnings.catch_warnings():
            # It warns of each attempt, and of a damaged cache when there is none; what counts is the outcome.
            warnings.simplefilter("ignore")
            bunch = fetch_openml(data_id=int(number[1]), as_frame=True, parser="auto", n_retries=1, delay=0.5)
    except OSError as error:  # also URLError, HTTPError and time-outs
        reason = getattr(error, "reason", None) or error
        raise DataError(
            name, [f"OpenML cannot be reached ({reason}); download the file elsewhere and give its path"]
        ) from error
    except ValueError as error:  # also OpenMLError
        raise DataError(name, [str(error).splitlines()[0]]) from error
    frame: pd.DataFrame = bunch.frame
    return frame
