"""Ways to damage a model bundle: each a function of the directory, or the file, and a seeded source of chance."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.repository import BUNDLE
from tests.tiny_bundle import write_tiny_bundle

FILES = sorted(path.name for path in BUNDLE.iterdir())
LISTED = [name for name in FILES if not name.startswith("manifest.json")]
CANARY = b"7391.482913"
"""Written into files, to see that no message repeats what is in them."""

Damage = Callable[[Path, random.Random], None]


def flip_a_bit(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def grow(path: Path, chance: random.Random) -> None:
    path.write_bytes(path.read_bytes() + CANARY * chance.randint(1, 3))


def overwrite(path: Path, chance: random.Random) -> None:
    """Keep the size, so that only the digest can tell."""
    content = bytearray(path.read_bytes())
    place = chance.randrange(max(1, len(content) - len(CANARY)))
    content[place : place + len(CANARY)] = CANARY[: len(content) - place]
    path.write_bytes(content)


def remove(path: Path, chance: random.Random) -> None:
    path.unlink()


def link_instead(path: Path, chance: random.Random) -> None:
    """Leave the right content, but where somebody else may write it."""
    elsewhere = path.parent.parent / "elsewhere"
    shutil.move(path, elsewhere)
    path.symlink_to(elsewhere)


def directory_instead(path: Path, chance: random.Random) -> None:
    path.unlink()
    path.mkdir()


def pipe_instead(path: Path, chance: random.Random) -> None:
    """Reading it would wait for ever."""
    path.unlink()
    os.mkfifo(path)


ON_A_FILE = {
    flip_a_bit: 12,
    truncate: 6,
    grow: 2,
    overwrite: 4,
    remove: 1,
    link_instead: 1,
    directory_instead: 1,
    pipe_instead: 1,
}


def rewrite_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and hash it again, as one would who means it."""
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    change(manifest)
    content = json.dumps(manifest).encode()
    (bundle / "manifest.json").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (bundle / "manifest.json.sha256").write_text(f"{digest}  manifest.json\n")


def rehash(bundle: Path, name: str) -> None:
    content = (bundle / name).read_bytes()
    entry = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    rewrite_manifest(bundle, lambda manifest: manifest["files"].update({name: entry}))


def swap_two_files(bundle: Path, chance: random.Random) -> None:
    one, other = chance.sample(LISTED, 2)
    shutil.move(bundle / one, bundle / "kept")
    shutil.move(bundle / other, bundle / one)
    shutil.move(bundle / "kept", bundle / other)


def file_of_another_version(bundle: Path, chance: random.Random) -> None:
    write_tiny_bundle(bundle.parent / "other")
    name = chance.choice(["model.onnx", "golden.json", "xgboost-model", "MODEL_CARD.md", "manifest.json"])
    shutil.copy(bundle.parent / "other" / name, bundle / name)


def manifest_of_another_version(bundle: Path, chance: random.Random) -> None:
    write_tiny_bundle(bundle.parent / "other")
    for name in ("manifest.json", "manifest.json.sha256"):
        shutil.copy(bundle.parent / "other" / name, bundle / name)


def extra_file(bundle: Path, chance: random.Random) -> None:
    name = chance.choice(["model.pkl", "scaler.joblib", "xgboost-model.bak", "0", "sitecustomize.py"])
    (bundle / name).write_bytes(CANARY)


def odd_name(bundle: Path, chance: random.Random) -> None:
    name = chance.choice([".hidden", "-rf", "a b", "a\nb", "n\u00e4me", "x" * 101, "~", "..."])
    (bundle / name).write_bytes(CANARY)


def pickle_in_disguise(bundle: Path, chance: random.Random) -> None:
    (bundle / chance.choice(LISTED)).write_bytes(b"\x80\x05cos\nsystem\n(S'exit'\ntR." + CANARY)


def dangling_link(bundle: Path, chance: random.Random) -> None:
    (bundle / "link").symlink_to("/nowhere")


def directory(bundle: Path, chance: random.Random) -> None:
    (bundle / chance.choice(["sub", "variables", "assets"])).mkdir()


def feature_order(bundle: Path, chance: random.Random) -> None:
    rewrite_manifest(bundle, lambda manifest: chance.shuffle(manifest["features"]))


def field_order_without_hashing(bundle: Path, chance: random.Random) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    chance.shuffle(manifest["fields"])
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def scaling_of_another_version(bundle: Path, chance: random.Random) -> None:
    def change(manifest: dict[str, Any]) -> None:
        feature = chance.choice(manifest["features"])
        feature["steps"] = [{"kind": "standardise", "mean": chance.uniform(1, 9), "scale": 3.0}]

    rewrite_manifest(bundle, change)


def file_unlisted(bundle: Path, chance: random.Random) -> None:
    rewrite_manifest(bundle, lambda manifest: manifest["files"].pop(chance.choice(LISTED)))


def size_that_lies(bundle: Path, chance: random.Random) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][chance.choice(LISTED)]["bytes"] += chance.choice([-1, 1, 1000])

    rewrite_manifest(bundle, change)


def size_and_digest_of_nothing(bundle: Path, chance: random.Random) -> None:
    nothing = {"bytes": chance.choice([0, 5]), "sha256": hashlib.sha256(b"").hexdigest()}
    rewrite_manifest(bundle, lambda manifest: manifest["files"].update({"MODEL_CARD.md": nothing}))


def name_outside(bundle: Path, chance: random.Random) -> None:
    """A name that would leave the directory when somebody unpacks or reads by it."""
    content = bundle.parent / "outside"
    content.write_bytes(CANARY)
    entry = {"bytes": len(CANARY), "sha256": hashlib.sha256(CANARY).hexdigest()}
    name = chance.choice(["../outside", str(content), "./../outside", "sub/../../outside", "..\\outside", "C:outside"])
    rewrite_manifest(bundle, lambda manifest: manifest["files"].update({name: entry}))


def malformed_manifest(bundle: Path, chance: random.Random) -> None:
    content = chance.choice([b"", b"{}", b"[]", b"null", b"{", b'{"files": NaN}', b"\xff\xfe", CANARY, b"[" * 100_000])
    (bundle / "manifest.json").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    (bundle / "manifest.json.sha256").write_text(f"{digest}  manifest.json\n")


def malformed_golden_cases(bundle: Path, chance: random.Random) -> None:
    content = chance.choice([b"", b"{}", b"[]", b'{"transactions": [' + CANARY + b"]}", b"[" * 100_000, b"\x80\x05."])
    (bundle / "golden.json").write_bytes(content)
    rehash(bundle, "golden.json")


def digest_in_another_form(bundle: Path, chance: random.Random) -> None:
    path = bundle / "manifest.json.sha256"
    line = path.read_text()
    others = [line.upper(), line.strip(), line.replace("  ", " *"), line * 2, line[:64] + "\n", ""]
    path.write_text(chance.choice(others))


ON_THE_WHOLE = {
    swap_two_files: 6, file_of_another_version: 6, manifest_of_another_version: 1, extra_file: 3, odd_name: 4,
    pickle_in_disguise: 3, dangling_link: 1, directory: 1, feature_order: 4, field_order_without_hashing: 2,
    scaling_of_another_version: 3, file_unlisted: 5, size_that_lies: 4, size_and_digest_of_nothing: 2, name_outside: 5,
    malformed_manifest: 7, malformed_golden_cases: 5, digest_in_another_form: 5,
}  # fmt: skip


def other_model(bundle: Path) -> None:
    write_tiny_bundle(bundle.parent / "other")
    shutil.copy(bundle.parent / "other" / "model.onnx", bundle / "model.onnx")


def bit_in_the_model(bundle: Path) -> None:
    content = bytearray((bundle / "model.onnx").read_bytes())
    content[0] ^= 0x80
    (bundle / "model.onnx").write_bytes(content)


def half_a_model(bundle: Path) -> None:
    truncate(bundle / "model.onnx", random.Random(3))


def no_model(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"")


def booster_as_model(bundle: Path) -> None:
    shutil.copy(bundle / "xgboost-model", bundle / "model.onnx")
