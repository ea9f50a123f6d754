"""One measuring run at a time."""

import fcntl
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bench.environments import CACHE


@contextmanager
def alone() -> Iterator[None]:
    """One run at a time: two would measure each other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another make bench is running: it holds {CACHE / 'lock'}")
        yield
