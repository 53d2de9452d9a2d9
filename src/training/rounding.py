"""Numbers for people and for shipped aggregates: no more digits than they deserve."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.arrays import Floats


def significant(values: npt.ArrayLike, digits: int) -> Floats:
    """Round each value to its leading digits."""
    array = np.asarray(values, dtype=np.float64)
    rounded = [float(f"{value:.{digits}g}") for value in array.ravel()]
    return np.array(rounded, dtype=np.float64).reshape(array.shape)
