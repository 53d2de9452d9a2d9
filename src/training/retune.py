"""Another rule for a model that stays as it is: chosen on validation rows, and put into a new bundle."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from core.bundle import GOLDEN, Bundle
from core.decision import Decider
from core.scoring.embedded import EmbeddedScorer
from training.baseline import score_distribution
from training.card_pictures import card_pictures
from training.costs import Capacity, CostModel, review_share
from training.decisions import describe_decisions
from training.errors import TrainingError
from training.policies import Outcome, Rule, Stream, compare, standard_rules
from training.publish import publish_bundle
from training.report import model_card
from training.thresholds import choose_expected_loss, choose_thresholds

Kind = Literal["cuts", "expected_loss"]
_SUFFIX = re.compile(r"(.*)-t(\d+)")


@dataclass(frozen=True)
class Retuned:
    """A rule with the rows that it was chosen on, and those that judge it."""

    rule: Rule
    costs: CostModel
    capacity: Capacity | None
    chosen_on: Stream
    holdout: Stream | None
    """None where the rows given are not those of the bundle's own training."""
    others: dict[str, Rule]
    """What could have been chosen instead, by name."""

    @property
    def judged(self) -> Stream:
        return self.chosen_on if self.holdout is None else self.holdout

    def streams(self) -> dict[str, Stream]:
        return {"validation": self.chosen_on, **({} if self.holdout is None else {"holdout": self.holdout})}

    def outcomes(
        self, stream: Stream, seed: int, on_progress: Callable[[float], None] = lambda _: None
    ) -> dict[str, Outcome]:
        """Return what the rule and its alternatives cost on `stream`."""
        rules = {**standard_rules(self.rule), **self.others}
        return compare(stream, rules, self.costs.assumed, seed, on_progress=on_progress)


def choose_rule(
    kind: Kind, chosen_on: Stream, holdout: Stream | None, costs: CostModel, capacity: Capacity | None
) -> Retuned:
    """Choose a rule of this kind, and the other kind to compare it with, on the rows of `chosen_on`."""
    share, schema = review_share(capacity), chosen_on.schema
    rules: dict[Kind, Rule] = {
        "cuts": choose_thresholds(chosen_on.scored, costs, share),
        "expected_loss": choose_expected_loss(
            chosen_on.scored, chosen_on.amounts, schema.amount_field, costs.assumed, share
        ),
    }
    rule = rules.pop(kind)
    others: dict[str, Rule] = {f"by {name.replace('_', ' ')}": each for name, each in rules.items()}
    return Retuned(rule, costs, capacity, chosen_on, holdout, others)


def next_version(version: str) -> str:
    """Return a version that says that only the rule is new: -t1, -t2, …"""
    match = _SUFFIX.fullmatch(version)
    return f"{match[1]}-t{int(match[2]) + 1}" if match else f"{version}-t1"


def publish_retuned(bundle: Bundle, retuned: Retuned, version: str, out: Path, seed: int) -> Bundle:
    """Write a bundle with the same model and the new rule, prove it, and put it at `out`.

    Raises
    ------
    TrainingError
        `version` is the old one, or `out` cannot be written, or a proof failed; what was at `out` is still there.
    """
    if version == bundle.version:
        raise TrainingError(f"--version: {version} is the bundle with the old rule; replies could not be told apart")
    manifest: dict[str, Any] = bundle.manifest.model_dump(mode="json", exclude={"files"})
    manifest |= {"version": version, "thresholds": retuned.rule.model_dump()}
    manifest["training"] = {
        **manifest["training"],
        "decisions": describe_decisions(retuned.rule, retuned.costs, retuned.capacity, retuned.streams(), seed),
        "retuned_from": {"version": bundle.version, "manifest_sha256": bundle.digest},
    }
    return publish_bundle(out, manifest, _files(bundle, retuned, manifest, seed), _prove)


def _files(bundle: Bundle, retuned: Retuned, manifest: dict[str, Any], seed: int) -> dict[str, bytes]:
    golden, drift = json.loads(bundle.files[GOLDEN]), json.loads(bundle.files["baseline.json"])
    decider = Decider(retuned.rule, bundle.field_names)
    golden["decisions"] = decider.decide(bundle.golden.fraud_scores, bundle.golden_values())
    drift["fraud_score"] = score_distribution(retuned.chosen_on.scored, retuned.rule)
    compared_with = None if retuned.holdout is None else retuned.chosen_on.scored
    return {
        **bundle.files,
        GOLDEN: json_bytes(golden),
        "baseline.json": json_bytes(drift),
        **card_pictures(retuned.judged, retuned.rule, retuned.costs.assumed, seed, compared_with, retuned.others),
        "MODEL_CARD.md": model_card(manifest).encode(),
    }


def json_bytes(document: dict[str, Any]) -> bytes:
    """Return a document of the bundle as it is written."""
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode()


def _prove(bundle: Bundle) -> None:
    """Score the golden cases with the model in the new bundle."""
    EmbeddedScorer(bundle)
