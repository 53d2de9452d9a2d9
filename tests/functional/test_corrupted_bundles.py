"""300 damaged bundles: each is refused, before anything but the manifest is parsed, and none harms the process."""

from __future__ import annotations

import os
import random
import shutil
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.bootstrap import build_service
from core.bundle import load_bundle
from core.errors import BundleError
from tests.app_under_test import settings_of_tests
from tests.functional import bundle_damage
from tests.functional.bundle_damage import CANARY, FILES, ON_A_FILE, ON_THE_WHOLE, Damage, rehash, rewrite_manifest
from tests.processes import run_python
from tests.repository import BUNDLE
from tests.tiny_bundle import write_tiny_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[Path]:
    """A copy of the shipped bundle, to be damaged."""
    yield Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    shutil.rmtree(tmp_path / "bundle")


ON_FILES = [
    pytest.param(name, damage, seed, id=f"{damage.__name__}-{name}-{seed}")
    for name in FILES
    for damage, n in ON_A_FILE.items()
    for seed in range(n)
]


@pytest.mark.parametrize(("name", "damage", "seed"), ON_FILES)
def test_file_that_is_not_what_was_hashed_is_refused(bundle: Path, name: str, damage: Damage, seed: int) -> None:
    damage(bundle / name, random.Random(f"{name} {seed}"))

    refuse(bundle)


def refuse(bundle: Path, *, digest: str | None = None) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(bundle, expected_digest=digest)
    text = str(caught.value)
    assert CANARY.decode() not in text
    assert "\n" not in text
    assert len(text) < 500
    return text


@pytest.mark.parametrize(
    ("damage", "seed"),
    [
        pytest.param(damage, seed, id=f"{damage.__name__}-{seed}")
        for damage, n in ON_THE_WHOLE.items()
        for seed in range(n)
    ],
)
def test_bundle_that_is_not_what_it_says_is_refused(bundle: Path, damage: Damage, seed: int) -> None:
    damage(bundle, random.Random(seed))

    refuse(bundle)


def test_bundle_other_than_the_pinned_one_is_refused(bundle: Path) -> None:
    digest = load_bundle(bundle).digest
    rewrite_manifest(bundle, lambda manifest: manifest.update(version="creditcard-0"))

    assert "MODEL_BUNDLE_SHA256" in refuse(bundle, digest=digest)
    assert load_bundle(bundle).version == "creditcard-0"  # without the pin it is a bundle like any other


def test_number_of_damaged_bundles_is_the_promised_one() -> None:
    assert len(ON_FILES) + sum(ON_THE_WHOLE.values()) >= 300


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json", "manifest.json.sha256", "xgboost-model"])
def test_file_of_2_gigabytes_is_refused_without_being_read(bundle: Path, name: str) -> None:
    os.truncate(bundle / name, 2 << 30)  # sparse: it takes no room
    tracemalloc.start()

    refuse(bundle)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20


def test_link_of_the_same_size_as_the_file_is_refused(tmp_path: Path) -> None:
    """The path in the link is as long as the file, so that neither size nor digest can tell."""
    write_tiny_bundle(tmp_path / "tiny")
    card = tmp_path / "tiny" / "MODEL_CARD.md"
    shutil.move(card, tmp_path / "card")
    card.symlink_to("../card")
    assert card.lstat().st_size == card.stat().st_size

    refuse(tmp_path / "tiny")


def test_loading_never_reaches_a_parser_of_models() -> None:
    """What `load_bundle` refuses, no model parser has seen: even with an intact bundle it has none."""
    script = (
        "import sys, pathlib; from core.bundle import load_bundle; load_bundle(pathlib.Path(sys.argv[1])); "
        "print(sorted({'onnxruntime', 'onnx', 'xgboost', 'joblib'} & sys.modules.keys()))"
    )

    printed = run_python("-c", script, str(BUNDLE)).stdout

    assert printed == "[]\n"


@pytest.mark.parametrize(
    "damage",
    [
        bundle_damage.other_model,
        bundle_damage.bit_in_the_model,
        bundle_damage.half_a_model,
        bundle_damage.no_model,
        bundle_damage.booster_as_model,
    ],
)
def test_model_that_was_hashed_again_is_refused_by_the_scorer(bundle: Path, damage: Callable[[Path], None]) -> None:
    """Every digest is right: the model itself has to tell, at start-up, in one line."""
    damage(bundle)
    rehash(bundle, "model.onnx")
    load_bundle(bundle)

    with pytest.raises(BundleError) as caught:
        build_service(settings_of_tests(model_bundle=bundle))

    assert "\n" not in str(caught.value)


def test_calibration_that_was_hashed_again_is_refused_by_the_golden_scores(bundle: Path) -> None:
    rewrite_manifest(bundle, lambda manifest: manifest["calibration"].update(odds_factor=0.777))

    with pytest.raises(BundleError, match="the fraud score of .* golden cases differs"):
        build_service(settings_of_tests(model_bundle=bundle))
