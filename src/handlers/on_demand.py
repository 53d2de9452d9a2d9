"""Builds the `handler` of a module when Lambda first looks it up, so that importing the module has no effect."""

from __future__ import annotations

import sys
from collections.abc import Callable


def handler_on_demand(module: str, build: Callable[[], object]) -> Callable[[str], object]:
    """Return the `__getattr__` of `module`: it builds `handler` once a process, and knows no other name."""

    def find(name: str) -> object:
        if name != "handler":
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        handler = build()
        # Found there from now on: `__getattr__` is asked for what is missing only.
        vars(sys.modules[module])["handler"] = handler
        return handler

    return find
