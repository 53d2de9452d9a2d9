"""`KeysFile`: the forms that a file of keys may have, and what is no such file."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import KeySourceError
from core.keys_file import KeysFile


@pytest.mark.parametrize(
    "text", ["one,two:predict", "one\ntwo:predict\n", "\n one ,\r\ntwo:predict", '{"a": "one",\n "b": "two:predict"}\n']
)
def test_fetch_reads_lists_lines_and_objects(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys").write_text(text)

    assert KeysFile(tmp_path / "keys").fetch() == ("one", "two:predict")


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\xff\xfe", b'{"a": '])
def test_fetch_what_holds_no_key_is_an_error_that_shows_none(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)

    with pytest.raises(KeySourceError, match=r"^API_KEYS_FILE: .*(cannot be read|holds no key)"):
        KeysFile(tmp_path / "keys").fetch()


def test_fetch_sees_what_changed(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    source = KeysFile(path)
    path.write_text("old")
    assert source.fetch() == ("old",)
    path.write_text("new")
    assert source.fetch() == ("new",)
