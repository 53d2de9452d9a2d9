"""The archive for SageMaker: one file, and the same bytes for the same booster."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.bundle import BOOSTER, Bundle
from core.scoring.sagemaker_wire import read_reply, write_payload
from sagemaker import package_model as packaging
from sagemaker.package_model import digest_of, package_model
from tests.processes import run_python
from tests.repository import BUNDLE
from tests.sagemaker_runtime.container import Container


def test_archive_holds_the_booster_and_nothing_else(creditcard: Bundle) -> None:
    with tarfile.open(fileobj=io.BytesIO(package_model(creditcard)), mode="r:gz") as archive:
        [member] = archive.getmembers()
        content = archive.extractfile(member)
        assert content is not None
        assert (member.name, member.isreg(), content.read()) == (BOOSTER, True, creditcard.files[BOOSTER])


def test_archive_is_the_same_whoever_makes_it_and_whenever(creditcard: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    first = package_model(creditcard)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    monkeypatch.setattr(os, "getuid", lambda: 4242)

    assert package_model(creditcard) == first
    with tarfile.open(fileobj=io.BytesIO(first), mode="r:gz") as archive:
        [member] = archive.getmembers()
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")


def test_other_booster_makes_another_archive(creditcard: Bundle) -> None:
    other = replace(creditcard, files={**creditcard.files, BOOSTER: creditcard.files[BOOSTER] + b" "})

    assert digest_of(package_model(other)) != digest_of(package_model(creditcard))


def test_container_scores_the_golden_cases_as_recorded(creditcard: Bundle) -> None:
    features = creditcard.golden_features()

    reply = Container(package_model(creditcard)).invoke(write_payload(features), "text/csv")

    difference = read_reply(reply.body, len(features)) - np.array(creditcard.golden.raw_scores)
    assert np.abs(difference).max() <= 1e-6


def test_command_writes_the_archive_and_prints_its_digest(creditcard: Bundle, tmp_path: Path) -> None:
    output = tmp_path / "made" / "model.tar.gz"

    done = run_python("-m", "sagemaker.package_model", "--bundle", str(BUNDLE), "--out", str(output))

    assert done.stdout == f"{hashlib.sha256(output.read_bytes()).hexdigest()}  {output}\n"
    assert output.read_bytes() == package_model(creditcard)


def test_command_refuses_what_is_no_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert packaging.main(["--bundle", str(tmp_path), "--out", str(tmp_path / "model.tar.gz")]) == 2
    assert "is not a model bundle" in capsys.readouterr().err
    assert not (tmp_path / "model.tar.gz").exists()
