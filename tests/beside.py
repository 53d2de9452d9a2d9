"""Work that goes on in a thread of its own beside a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def going_on(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run `work` meanwhile; it must return soon after the event that it is given is set."""
    is_over = threading.Event()
    thread = threading.Thread(target=work, args=(is_over,))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
