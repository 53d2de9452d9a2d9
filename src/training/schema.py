"""Which columns a table of labelled transactions has, and what each is used for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from core.preprocessing import FieldSpec
from training.errors import OptionError

LARGEST_VALUE = 1e30
"""Far above any amount, far below the overflow of float32 after scaling."""
DAY_S = 86_400
CLOCK: tuple[Literal["sine", "cosine"], ...] = ("sine", "cosine")
"""The functions of the time of day that are features together."""


@dataclass(frozen=True)
class TimeMeaning:
    """What a number in the time column says."""

    unit_s: float = 1.0
    starts_at_midnight: bool = False
    """Whether zero is a midnight; else the time of day cannot be known."""
    offset_s: float = 0.0
    """Added, in seconds, before the time of day is taken."""


@dataclass(frozen=True)
class FeaturePlan:
    """Which optional steps of preprocessing are taken; the default is the simplest."""

    log_amounts: bool = False
    """Signed log1p of each amount, before it is standardised."""
    clip: bool = False
    """Every feature is kept within the range of the training rows."""
    time_of_day: bool = False
    """Sine and cosine of the time of day, as two more features."""
    missing_below: bool = False
    """A value below all others stands for a missing one, in place of the median."""
    raw_time: bool = False
    """The time column itself. Only ever tried, to show what it would have seemed to gain."""


@dataclass(frozen=True)
class TableSchema:
    """The columns of one kind of table: what a caller posts, what the model sees, what the truth is."""

    fields: tuple[FieldSpec, ...]
    feature_names: tuple[str, ...]
    """The fields fed to the model; the others are required of the caller and kept away from it."""
    notice: str
    """Where such tables come from and what their licence asks for; goes into the model card."""
    integer_fields: frozenset[str] = frozenset()
    money_fields: frozenset[str] = frozenset()
    amount_field: str = "Amount"
    label_column: str = "Class"
    uniform_column: str | None = "uniform_random"
    """Optional column: 1 marks the legitimate rows that are a uniform sample of all legitimate rows."""
    time_field: str | None = "Time"
    """The field that orders the rows in time."""
    time: TimeMeaning = TimeMeaning()
    weight_column: str | None = None
    """Optional column: how many real transactions a row stands for."""
    optional_fields: frozenset[str] = frozenset()
    """Fields that a caller may leave out."""
    allowed_leaks: frozenset[str] = frozenset()
    """Features that may tell frauds by themselves: somebody vouches that they are known in time."""
    plan: FeaturePlan = FeaturePlan()

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @property
    def model_feature_names(self) -> tuple[str, ...]:
        """Names of all inputs of the model, those that the plan adds too."""
        clock = [f"{self.time_field}_{function}" for function in CLOCK] if self.plan.time_of_day else []
        return (*self.feature_names, *clock)

    @property
    def feature_columns(self) -> list[int]:
        """Positions of the features among the fields."""
        return [self.field_names.index(name) for name in self.feature_names]

    @property
    def time_column(self) -> int | None:
        """Position of the time among the fields."""
        return None if self.time_field is None else self.field_names.index(self.time_field)

    def with_stand_ins(self, stand_ins: Mapping[str, float]) -> TableSchema:
        """Return the schema with what stands for a missing value of each optional field."""
        fields = (each.model_copy(update={"if_missing": stand_ins.get(each.name)}) for each in self.fields)
        return replace(self, fields=tuple(fields))

    def allowing(self, leaks: Iterable[str]) -> TableSchema:
        """Return the schema with these features let in, although they may tell frauds by themselves.

        Raises
        ------
        OptionError
            One of them is no feature.
        """
        allowed = frozenset(leaks)
        if unknown := sorted(allowed.difference(self.feature_names)):
            raise OptionError(f"--allow-leak: the model has no feature {', '.join(unknown)}")
        return replace(self, allowed_leaks=allowed)

    @property
    def amount_column(self) -> int:
        """Position of the amount among the fields."""
        return self.field_names.index(self.amount_field)


_COMPONENTS = tuple(f"V{number}" for number in range(1, 29))


def _component(name: str) -> FieldSpec:
    return FieldSpec(
        name=name,
        minimum=-LARGEST_VALUE,
        maximum=LARGEST_VALUE,
        description=f"Principal component {name[1:]}; the original features are withheld by the data's owner.",
    )


CREDITCARD = TableSchema(
    fields=(
        FieldSpec(
            name="Time",
            minimum=0.0,
            maximum=LARGEST_VALUE,
            description="Seconds since the first transaction of the file. Recorded, not used by the model.",
        ),
        *(_component(name) for name in _COMPONENTS),
        FieldSpec(
            name="Amount",
            minimum=0.0,
            maximum=LARGEST_VALUE,
            description="Amount of the transaction in currency units.",
        ),
    ),
    # Time counts from the first row of one file, so in production it would mean nothing.
    feature_names=(*_COMPONENTS, "Amount"),
    notice=(
        'Trained on "Credit Card Fraud Detection" (Machine Learning Group, Université Libre de Bruxelles), or on a '
        "sample of it: transactions of European card holders on two days of September 2013, 284,807 rows with 492 "
        "frauds. Database licence ODbL 1.0, contents DbCL 1.0. The model is a produced work of that database, and no "
        "row of the database is part of this bundle."
        " For the sample that the shipped model was trained on: a first version was split by label only, and its"
        " holdout had more than its share of the hardest frauds (average precision 0.78 and ROC AUC 0.965, where the"
        " other fifths had 0.82 to 0.87 and 0.969 to 0.993). After those figures were seen, the split was changed to"
        " balance its parts, and the parameters were chosen anew without the new holdout, most rows of which the first"
        " choice had seen. The mean over all five fifths depends least on how they were drawn."
    ),
    # The fewest transactions come around 3 o'clock of both days if zero is a midnight.
    time=TimeMeaning(starts_at_midnight=True),
    integer_fields=frozenset({"Time"}),
    money_fields=frozenset({"Amount"}),
)
"""The public "Credit Card Fraud Detection" data set of the Machine Learning Group of ULB."""

CREDITCARD_WITHOUT_TIME = replace(CREDITCARD, fields=CREDITCARD.fields[1:], time_field=None)
"""The same as OpenML hands it out: there `Time` is marked as a column to be ignored."""
