"""How often somebody may do something: one number kept for each name, and no more names than a fixed count."""

from __future__ import annotations

import ipaddress
import time
from functools import lru_cache

PERIOD_S = 60.0
MAX_NAMES = 20_000
"""Some 4 MB. Beyond, the name that was seen longest ago is forgotten, and starts anew."""


class Rate:
    """Lets each name do something `per_minute` times a minute, at once or spread; by the generic cell rate algorithm.

    What is kept of a name is when all that it did will be paid off, were it paid off evenly (ITU-T I.371).
    """

    def __init__(self, per_minute: int, max_names: int = MAX_NAMES) -> None:
        self._interval = PERIOD_S / per_minute
        self._tolerance = PERIOD_S - self._interval
        self._max_names = max_names
        self._paid_off: dict[str, float] = {}

    def take(self, name: str) -> float:
        """Count it and return 0; or count nothing, and return the seconds until it may be done again."""
        now = time.monotonic()
        paid_off = max(self._paid_off.pop(name, now), now)
        wait = paid_off - now - self._tolerance
        # Rounding must not make one of the last too many.
        self._paid_off[name] = paid_off if wait > 1e-6 else paid_off + self._interval
        if len(self._paid_off) > self._max_names:
            del self._paid_off[next(iter(self._paid_off))]
        return wait if wait > 1e-6 else 0.0


@lru_cache(maxsize=1024)
def neighbourhood(address: str) -> str:
    """Return the name that an address is counted under: an IPv6 client has the 2^64 addresses of its network."""
    try:
        full = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(full.ipv4_mapped or ipaddress.IPv6Network((full, 64), strict=False))
