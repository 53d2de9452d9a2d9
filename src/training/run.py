"""What one training run was asked for, and everything that came out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from core.decision import Thresholds
from core.manifest import Manifest, Metric
from training.costs import AssumedCosts, CostModel
from training.data import DataFile
from training.errors import OptionError
from training.evaluate import Scored
from training.export import ExportProof
from training.model import FittedModel
from training.policies import Stream
from training.preprocessing_trials import PlanChoice
from training.schema import TableSchema
from training.split import N_FIFTHS, Split, SplitKind
from training.train import Parameters

DEFAULT_SEED = 2026
"""One seed for the split, the booster and the bootstrap; it was fixed before any holdout was looked at."""


@dataclass(frozen=True)
class SearchBudget:
    """How much may be spent on looking for better parameters; by default nothing."""

    trials: int | None = None
    minutes: float | None = None

    @property
    def is_empty(self) -> bool:
        return self.trials is None and self.minutes is None

    def spent(self, n_trials: int, seconds: float) -> float:
        """Return the share that is spent, of whatever comes to its end first."""
        by_number = 0.0 if self.trials is None else n_trials / self.trials
        by_time = 0.0 if self.minutes is None else seconds / (60.0 * self.minutes)
        return min(max(by_number, by_time), 1.0)


@dataclass(frozen=True)
class Options:
    """What the person who trains decides."""

    name: str
    version: str
    notice: str | None = None
    """Origin and licence of the data; None: what the schema says."""
    seed: int = DEFAULT_SEED
    prevalence: float | None = None
    costs: AssumedCosts = field(default_factory=AssumedCosts)
    split: SplitKind = "random"
    choose_steps: bool = True
    """Whether optional steps of preprocessing are tried; else the simplest are taken."""
    n_rotations: int = N_FIFTHS
    """How many fifths of the rows are held out in turn; 0: the holdout's own figures are all there is."""
    imported: dict[str, str] | None = None
    """sha256 of each file of an older project whose model this is; None: it was trained here."""
    parameters: Parameters = field(default_factory=Parameters)
    """What the trees are grown with, and where a search begins."""
    search: SearchBudget = field(default_factory=SearchBudget)

    def __post_init__(self) -> None:
        for name in ("name", "version"):
            rule = TypeAdapter(Annotated[str, Manifest.model_fields[name]])
            try:
                rule.validate_python(getattr(self, name))
            except ValidationError as error:
                raise OptionError(f"--{name}: {error.errors()[0]['msg']}") from error


@dataclass(frozen=True)
class TrainingRun:
    """A trained model with the rows, the choices and the figures behind it."""

    options: Options
    """As asked for; a budget of time has become the number of trials that it was enough for."""
    parameters: Parameters
    """What the trees were grown with."""
    search: dict[str, Any] | None
    """What a search tried, for the manifest; None without one."""
    schema: TableSchema
    data: DataFile
    prevalence: float
    split: Split
    steps: PlanChoice
    model: FittedModel
    onnx_model: bytes
    proof: ExportProof
    validation: Scored
    holdout: Scored
    costs: CostModel
    thresholds: Thresholds
    metrics: dict[str, Metric]
    """Holdout figures with their intervals."""
    folds: list[dict[str, float]]
    """Holdout figures of each rotation of the split, without intervals."""

    def streams(self) -> dict[str, Stream]:
        """Return the rows that the rule was chosen on, and those that judge it."""
        return {
            "validation": Stream.of(self.validation, self.split.validation, self.schema),
            "holdout": Stream.of(self.holdout, self.split.holdout, self.schema),
        }
