"""Whether this process still wants work: a process that is about to stop says no, and goes on answering."""

from __future__ import annotations

from core.errors import ShuttingDownError


class Readiness:
    """Turns from ready to draining, once."""

    def __init__(self) -> None:
        self._draining = False

    def drain(self) -> None:
        """Report from now on that new work should go elsewhere."""
        self._draining = True

    def check(self) -> None:
        """Return unless the process drains.

        Raises
        ------
        ShuttingDownError
        """
        if self._draining:
            raise ShuttingDownError("The service is shutting down.")
