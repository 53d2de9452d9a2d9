"""Where things are in the repository."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "src"
CORE = SOURCES / "core"
BUNDLE = ROOT / "models" / "creditcard"
