"""Another table than the public one: eight features under other names, dates, an optional field, weights."""

import numpy as np
import pandas as pd

COLUMNS = """\
target: is_fraud
amount: value
time: booked_at
weight: stands_for
fields:
  merchant_risk:
    optional: true
    description: Chargebacks per thousand sales; unknown for new merchants.
notice: Invented payments.
"""
FEATURES = ["value", "n_last_hour", "distance_km", "merchant_risk", "account_age_days", "rate", "n_cards", "basket"]


def payments(n_rows=4000, n_frauds=160, seed=5):
    """Return the table as a data frame, in the order of time."""
    rng = np.random.default_rng(seed)
    is_fraud = rng.permutation(np.arange(n_rows) < n_frauds)
    shift = is_fraud * 1.0
    frame = pd.DataFrame({
        "booked_at": pd.Timestamp("2025-03-01") + pd.to_timedelta(np.sort(rng.integers(0, 30 * 86_400, n_rows)), "s"),
        "value": np.round(np.exp(rng.normal(3.0 + shift, 1.0, n_rows)), 2),
        "n_last_hour": rng.poisson(0.5 + 3.0 * shift).astype(float),
        "distance_km": np.round(np.exp(rng.normal(1.0 + 2.0 * shift, 1.2, n_rows)), 1),
        "merchant_risk": np.where(rng.random(n_rows) < 0.2, np.nan, np.round(rng.gamma(2.0 + 3.0 * shift, 1.0), 3)),
        "account_age_days": np.round(rng.gamma(2.0, 400.0 / (1.0 + 2.0 * shift)), 0),
        "rate": np.round(rng.normal(0.0, 1.0, n_rows), 4),
        "n_cards": rng.integers(1, 6, n_rows),
        "basket": np.round(rng.normal(10.0 + shift, 3.0, n_rows), 2),
        "stands_for": np.where(is_fraud, 1.0, 8.0),
        "currency": "EUR",
        "is_fraud": is_fraud.astype(int),
    })  # fmt: skip
    return frame
