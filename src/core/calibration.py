"""Raw score of the model -> probability of fraud at the prevalence of the real world.

Only additions, multiplications and divisions: IEEE 754 rounds those correctly, so that a row's result is
the same bit for bit alone and in any position of a batch.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

Scores = npt.NDArray[np.float64]


class PriorCorrection(BaseModel):
    """Undo the rebalancing of the training rows by scaling the odds.

    With prevalence q among the (weighted) training rows and prevalence p in the real world, the odds of a
    score are multiplied by ``odds_factor`` = (p / (1 - p)) / (q / (1 - q)): Saerens, Latinne and Decaestecker,
    "Adjusting the outputs of a classifier to new a priori probabilities", Neural Computation 14 (2002), eq. 2.4;
    for undersampling it is the formula of Dal Pozzolo et al. (2015).
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["prior_correction"]
    odds_factor: Annotated[float, Field(gt=0, le=1e6)]

    def probabilities(self, scores: Scores) -> Scores:
        """Return calibrated probabilities in [0, 1], shape (n,), for raw scores in [0, 1], shape (n,)."""
        weighted = scores * self.odds_factor
        return weighted / (weighted + (1.0 - scores))
