"""What a decision rule does, in words."""

from __future__ import annotations

from core.decision import ExpectedLoss, Thresholds


def rule_in_words(rule: Thresholds | ExpectedLoss) -> str:
    """Return one sentence."""
    if isinstance(rule, Thresholds):
        return f"Review from {rule.review:.4g}, decline from {rule.decline:.4g}."
    scarcity = f" and {rule.review_shadow_price:.2f} for its scarcity" if rule.review_shadow_price else ""
    return (
        f"The least expected loss for the amount in {rule.amount_field}: {rule.loss_share:.4g} of it and "
        f"{rule.chargeback_fee:.2f} for an approved fraud, {rule.false_decline:.2f} for a declined legitimate "
        f"transaction, {rule.review:.2f}{scarcity} for a review."
    )
