"""The model bundle: read, verify every byte, only then parse; refuse whatever does not match."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.calibration import Scores
from core.decision import Decider, Decision, ExpectedLoss
from core.errors import BundleError
from core.manifest import Manifest, Probability
from core.preprocessing import FLOAT32_MAX, FeatureMatrix, FieldValues, Preprocessor

MANIFEST = "manifest.json"
MANIFEST_DIGEST = "manifest.json.sha256"
ONNX_MODEL = "model.onnx"
BOOSTER = "xgboost-model"
GOLDEN = "golden.json"
REQUIRED_FILES = (ONNX_MODEL, BOOSTER, GOLDEN, "baseline.json", "MODEL_CARD.md")

GOLDEN_TOLERANCE = 1e-6
MIN_GOLDEN_CASES = 50

_MAX_MANIFEST_BYTES = 1 << 20
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_STRICT = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

_ModelT = TypeVar("_ModelT", bound=BaseModel)


class GoldenCases(BaseModel):
    """Known transactions with what the model must see, and answer, for each."""

    model_config = _STRICT

    transactions: Annotated[list[dict[str, float]], Field(min_length=MIN_GOLDEN_CASES)]
    features: list[list[float]]
    raw_scores: list[Probability]
    fraud_scores: list[Probability]
    decisions: list[Decision] | None = None
    """None in bundles of before they were recorded."""

    @model_validator(mode="after")
    def _lists_are_parallel(self) -> GoldenCases:
        lists: list[Sized] = [self.transactions, self.features, self.raw_scores, self.fraud_scores]
        if self.decisions is not None:
            lists.append(self.decisions)
        if len({len(each) for each in lists}) != 1:
            raise ValueError("the lists of golden cases differ in length")
        return self


@dataclass(frozen=True)
class Bundle:
    """A verified model bundle, whole in memory: what was verified is what is used."""

    manifest: Manifest
    digest: str
    """sha256 of the manifest's bytes, which pins every file of the bundle."""
    files: dict[str, bytes]
    golden: GoldenCases

    @cached_property
    def preprocessor(self) -> Preprocessor:
        return Preprocessor(self.manifest.fields, self.manifest.features)

    @cached_property
    def decider(self) -> Decider:
        return Decider(self.manifest.thresholds, self.field_names)

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.manifest.fields)

    def golden_values(self) -> FieldValues:
        """Return the golden transactions as field values, shape (n_cases, n_fields)."""
        names = self.field_names
        return np.array([[case[name] for name in names] for case in self.golden.transactions], dtype=np.float64)

    def golden_features(self) -> FeatureMatrix:
        """Return the golden transactions as the model sees them, shape (n_cases, n_features)."""
        return self.preprocessor.transform(self.golden_values())


def load_bundle(path: Path, *, expected_digest: str | None = None) -> Bundle:
    """Read and verify the bundle in the directory `path`.

    Parameters
    ----------
    path : directory of one bundle
    expected_digest : sha256 of `manifest.json` in hex, to pin one exact bundle; None accepts any intact one

    Raises
    ------
    BundleError
        The directory is not a bundle, a byte of it differs from its manifest, or its golden cases do not
        come out as recorded. Nothing but the manifest is parsed before every digest was compared.
    """
    return verified_bundle(_Directory(path), expected_digest=expected_digest)


class BundleSource(Protocol):
    """Where the files of a bundle are; as text, what to call it in errors."""

    def sizes(self) -> Mapping[str, int]:
        """Return the bytes of each file, by its name."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """Return the file, or its first `limit` bytes."""
        ...


def verified_bundle(source: BundleSource, *, expected_digest: str | None = None) -> Bundle:
    """Read and verify the bundle in `source`, as `load_bundle` does.

    Raises
    ------
    BundleError
    """
    sizes = source.sizes()
    _check_names(sizes, source)
    manifest_bytes = _read(source, MANIFEST, min(sizes[MANIFEST], _MAX_MANIFEST_BYTES))
    digest = hashlib.sha256(manifest_bytes).hexdigest()
    if _read(source, MANIFEST_DIGEST, 100) != digest_line(digest):
        raise BundleError(f"{source}: {MANIFEST} does not match {MANIFEST_DIGEST}: the bundle is damaged")
    if expected_digest is not None and digest != expected_digest:
        raise BundleError(f"{source}: this is not the bundle that MODEL_BUNDLE_SHA256 names")
    manifest = _parse(Manifest, manifest_bytes, source, MANIFEST)
    files = _read_verified(source, manifest, sizes)
    bundle = Bundle(manifest, digest, files, _parse(GoldenCases, files[GOLDEN], source, GOLDEN))
    _check_ranges(bundle, source)
    _check_golden_features(bundle, source)
    _check_golden_decisions(bundle, source)
    return bundle


def digest_line(digest: str) -> bytes:
    """Return the exact content of `manifest.json.sha256`, in the format of `sha256sum --check`."""
    return f"{digest}  {MANIFEST}\n".encode("ascii")


def check_golden_scores(bundle: Bundle, raw_scores: Scores) -> None:
    """Compare the scorer's answers to the golden cases with those recorded when the model was trained.

    Raises
    ------
    BundleError
        There is not one answer a case, or one is further than 1e-6 from its record, raw or calibrated; the
        text names case indexes only.
    """
    if raw_scores.shape != (len(bundle.golden.raw_scores),):
        raise BundleError(f"{bundle.version}: the model does not give one score for each golden case")
    fraud_scores = bundle.manifest.calibration.probabilities(raw_scores)
    for name, got, expected in (
        ("raw score", raw_scores, bundle.golden.raw_scores),
        ("fraud score", fraud_scores, bundle.golden.fraud_scores),
    ):
        wrong = np.flatnonzero(~(np.abs(got - np.array(expected)) <= GOLDEN_TOLERANCE))
        if wrong.size:
            raise BundleError(
                f"{bundle.version}: the {name} of {wrong.size} of {len(expected)} golden cases differs from the "
                f"recorded one by more than {GOLDEN_TOLERANCE:g} (first: case {wrong[0]})"
            )


@dataclass(frozen=True)
class _Directory:
    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def sizes(self) -> dict[str, int]:
        """Nothing but regular files may be there."""
        try:
            entries = {entry.name: entry.lstat() for entry in self.path.iterdir()}
        except OSError as error:
            raise BundleError(f"no model bundle at {self.path} ({error.strerror}); set MODEL_BUNDLE") from error
        for name, status in entries.items():
            if not stat.S_ISREG(status.st_mode):
                raise _stray(name, self)
        return {name: status.st_size for name, status in entries.items()}

    def read(self, name: str, limit: int) -> bytes:
        try:
            with (self.path / name).open("rb") as file:
                return file.read(limit)
        except OSError as error:
            raise BundleError(f"{self.path}: cannot read {name} ({error.strerror})") from error


def _check_names(sizes: Mapping[str, int], source: BundleSource) -> None:
    for name in (MANIFEST, MANIFEST_DIGEST):
        if name not in sizes:
            raise BundleError(f"{source} is not a model bundle: {name} is missing")
    for name in sizes:
        if not _FILE_NAME.fullmatch(name):
            raise _stray(name, source)


def _stray(name: str, source: BundleSource) -> BundleError:
    return BundleError(f"{source}: {name!r} does not belong in a model bundle")


def _read_verified(source: BundleSource, manifest: Manifest, sizes: Mapping[str, int]) -> dict[str, bytes]:
    if absent := [name for name in REQUIRED_FILES if name not in manifest.files]:
        raise BundleError(f"{source}: the manifest does not list {', '.join(absent)}")
    if odd := set(sizes).symmetric_difference({*manifest.files, MANIFEST, MANIFEST_DIGEST}):
        raise BundleError(f"{source}: missing from the bundle or from its manifest: {', '.join(sorted(odd))}")
    files: dict[str, bytes] = {}
    for name, entry in manifest.files.items():
        content = _read(source, name, entry.bytes) if sizes[name] == entry.bytes else None
        if content is None or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise BundleError(f"{source}: {name} does not match its sha256 in the manifest: the bundle is damaged")
        files[name] = content
    return files


def _read(source: BundleSource, name: str, size: int) -> bytes:
    """Read at most one byte more than `size`, so that a file that grew is noticed but never read whole."""
    return source.read(name, size + 1)


def _parse(model: type[_ModelT], content: bytes, source: BundleSource, name: str) -> _ModelT:
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise BundleError(f"{source}: {name} is not valid: {where}: {first['msg']}") from error


def _check_ranges(bundle: Bundle, source: BundleSource) -> None:
    """No value that the schema admits may overflow float32, nor may one that stands for a missing one."""
    largest = np.abs(bundle.preprocessor.ranges()).max(axis=0)
    if not (largest <= FLOAT32_MAX).all():
        names = [f.name for f, size in zip(bundle.manifest.features, largest, strict=True) if not size <= FLOAT32_MAX]
        raise BundleError(f"{source}: values within the declared range overflow float32: {', '.join(names)}")


def _check_golden_features(bundle: Bundle, source: BundleSource) -> None:
    names = set(bundle.field_names)
    if any(set(case) != names for case in bundle.golden.transactions):
        raise BundleError(f"{source}: the golden transactions do not have the fields of the manifest")
    features = bundle.golden_features()
    if any(len(row) != bundle.preprocessor.n_features for row in bundle.golden.features) or not np.allclose(
        features, np.array(bundle.golden.features), rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE
    ):
        raise BundleError(f"{source}: preprocessing does not turn the golden transactions into their features")


def _check_golden_decisions(bundle: Bundle, source: BundleSource) -> None:
    recorded = bundle.golden.decisions
    if recorded is None:
        if isinstance(bundle.manifest.thresholds, ExpectedLoss):
            raise BundleError(f"{source}: {GOLDEN} records no decisions")
    elif bundle.decider.decide(bundle.golden.fraud_scores, bundle.golden_values()) != recorded:
        raise BundleError(f"{source}: the golden transactions are not decided as recorded")


def write_bundle(path: Path, manifest: dict[str, Any], files: dict[str, bytes]) -> str:
    """Write a bundle into the directory `path`, replacing what is there, and return its digest.

    `manifest` is complete but for `files`, which is made here.
    """
    entries = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    }
    text = json.dumps({**manifest, "files": entries}, indent=1, allow_nan=False) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.mkdir(parents=True, exist_ok=True)
    for old in path.iterdir():
        old.unlink()
    for name, content in {**files, MANIFEST: text.encode(), MANIFEST_DIGEST: digest_line(digest)}.items():
        (path / name).write_bytes(content)
    return digest
