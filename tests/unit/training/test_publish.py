import json
import shutil

import pytest

from core.bundle import MANIFEST, load_bundle
from training.errors import ExportError, OutputError
from training.publish import check_target, publish_bundle


@pytest.fixture
def parts(bundle_dir):
    """The manifest and the files of an intact bundle, ready to be written again."""
    bundle = load_bundle(bundle_dir)
    manifest = json.loads((bundle_dir / MANIFEST).read_text())
    del manifest["files"]
    return manifest, bundle.files


@pytest.fixture
def old_bundle(bundle_dir, tmp_path):
    return shutil.copytree(bundle_dir, tmp_path / "models" / "old")


def accept(_bundle):
    pass


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_publish_bundle_new_directory_holds_the_bundle_and_nothing_is_left_beside_it(parts, tmp_path):
    published = publish_bundle(tmp_path / "models" / "new", *parts, accept)

    assert load_bundle(tmp_path / "models" / "new").digest == published.digest
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["new"]


def test_publish_bundle_old_one_is_replaced_whole(parts, old_bundle):
    manifest, files = parts
    publish_bundle(old_bundle, {**manifest, "version": "next-1"}, {**files, "extra.txt": b"more"}, accept)

    assert load_bundle(old_bundle).version == "next-1"
    assert [path.name for path in old_bundle.parent.iterdir()] == ["old"]


def test_publish_bundle_failed_proof_leaves_the_old_one_alone(parts, old_bundle):
    before = contents(old_bundle)

    def refuse(_bundle):
        raise ExportError("no")

    with pytest.raises(ExportError):
        publish_bundle(old_bundle, *parts, refuse)

    assert contents(old_bundle) == before
    assert [path.name for path in old_bundle.parent.iterdir()] == ["old"]


def test_publish_bundle_that_does_not_load_is_no_bundle(parts, old_bundle):
    manifest, files = parts
    before = contents(old_bundle)

    with pytest.raises(ExportError, match="failed its own checks"):
        publish_bundle(old_bundle, manifest, {**files, "golden.json": b"{}"}, accept)

    assert contents(old_bundle) == before


def test_check_target_directory_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")

    with pytest.raises(OutputError, match="no model bundle"):
        check_target(tmp_path)


def test_check_target_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="not a directory"):
        check_target(tmp_path / "file")


def test_publish_bundle_below_a_file_is_refused(parts, tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="cannot be written"):
        publish_bundle(tmp_path / "file" / "new", *parts, accept)
