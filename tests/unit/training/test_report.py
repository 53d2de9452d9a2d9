"""The model card says what the manifest says."""

import json
import re

import pytest

from core.bundle import load_bundle
from training.figures import FIGURES
from training.reference import PUBLISHED
from training.report import model_card


@pytest.fixture
def manifest(bundle_dir):
    return json.loads((bundle_dir / "manifest.json").read_text(encoding="utf-8"))


def test_card_shows_pictures_that_are_in_the_bundle(bundle_dir):
    bundle = load_bundle(bundle_dir)
    pictures = re.findall(r"!\[[^]]*\]\(([^)]*)\)", bundle.files["MODEL_CARD.md"].decode())

    assert len(pictures) >= 4
    assert set(pictures) <= set(bundle.files)


def test_card_gives_every_figure_with_its_interval(manifest):
    card = model_card(manifest)

    assert set(manifest["holdout"]["metrics"]) == set(FIGURES)
    for name, (title, form) in FIGURES.items():
        metric = manifest["holdout"]["metrics"][name]
        assert f"| {title} | {metric['value']:{form}} | {metric['low']:{form}} to {metric['high']:{form}} |" in card


def test_card_gives_what_each_rule_costs_on_the_holdout(manifest):
    card = model_card(manifest)

    for name, outcome in manifest["training"]["decisions"]["holdout"]["outcomes"].items():
        assert f"| holdout | {name} | {1000 * outcome['mean_cost']['value']:,.2f} |" in card


def test_card_compares_with_the_published_figures_for_the_public_data_alone(manifest):
    assert "published" not in model_card(manifest)

    model = {"threshold": 0.4, "n_frauds": 66, "figures": {**PUBLISHED["figures"], "f1": {"value": 0.9}}}
    manifest["training"]["reference"] = {"published": PUBLISHED, "model": model}
    card = model_card(manifest)

    assert "| figure | this model, 66 frauds | published, 98 frauds |" in card
    assert "| Precision | 0.835 (0.750 to 0.900) | 0.835 (0.750 to 0.900) |" in card
    assert "| F1 | 0.900 | 0.831 |" in card
    assert "| ROC AUC | 0.9635 | 0.9635 |" in card
