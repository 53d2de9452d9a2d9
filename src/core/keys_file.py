"""API keys from a file that may change while the process runs, such as a mounted secret."""

from __future__ import annotations

from pathlib import Path

from core.errors import KeySourceError
from core.keys import parse_keys

_MAX_BYTES = 1 << 20


class KeysFile:
    """Reads the active API keys anew at each call: as in Secrets Manager, or one on each line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fetch(self) -> tuple[str, ...]:
        """Return the entries of the active keys, at least one.

        Raises
        ------
        KeySourceError
            The file cannot be read or holds no key, as while it is being written.
        """
        try:
            with self._path.open("rb") as file:
                text = file.read(_MAX_BYTES).decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise KeySourceError(f"API_KEYS_FILE: {self._path} cannot be read ({type(error).__name__})") from error
        keys = parse_keys(text if text.lstrip().startswith("{") else ",".join(text.splitlines()))
        if not keys:
            raise KeySourceError(f"API_KEYS_FILE: {self._path} holds no key")
        return keys
