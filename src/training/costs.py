"""What mistakes and reviews cost, and how many reviews there can be: what the data do not say."""

from __future__ import annotations

from dataclasses import dataclass

from training.arrays import Floats
from training.data import Table
from training.schema import TableSchema


@dataclass(frozen=True)
class AssumedCosts:
    """In the currency of the amounts: assumptions for the business to replace."""

    chargeback_fee: float = 15.0
    """Fee of a fraud that was approved, on top of what is lost of its amount."""
    false_decline: float = 25.0
    """A legitimate transaction declined: a lost sale and an annoyed customer."""
    review: float = 4.0
    """Some minutes of an analyst, who is assumed to be right."""
    loss_share: float = 1.0
    """Share of the amount of an approved fraud that is lost for good."""

    def missed_fraud(self, amounts: Floats) -> Floats:
        """Return what each transaction would cost if it were fraud and approved."""
        return self.loss_share * amounts + self.chargeback_fee


@dataclass(frozen=True)
class CostModel:
    """The costs, with what an approved fraud loses on average."""

    mean_fraud_amount: float
    assumed: AssumedCosts

    @classmethod
    def of(cls, train: Table, schema: TableSchema, assumed: AssumedCosts) -> CostModel:
        """Take the mean amount of the training frauds: they are the most, and a mean of amounts is noisy."""
        return cls(float(train.values[train.is_fraud, schema.amount_column].mean()), assumed)

    @property
    def missed_fraud(self) -> float:
        return self.assumed.loss_share * self.mean_fraud_amount + self.assumed.chargeback_fee


@dataclass(frozen=True)
class Capacity:
    """How many transactions a day can be reviewed, of how many there are."""

    reviews_per_day: float
    transactions_per_day: float

    @property
    def share(self) -> float:
        return min(1.0, self.reviews_per_day / self.transactions_per_day)


def review_share(capacity: Capacity | None) -> float:
    """Return the largest share of all transactions that may be reviewed."""
    return 1.0 if capacity is None else capacity.share
