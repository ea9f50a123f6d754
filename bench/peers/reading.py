"""What the peers' programs share: how fast batches come, as samples of the table's rows. Needs the standard library only."""

import json
import time
from collections.abc import Callable, Iterator, Sized

BATCH_SIZES = (256, 4096)
MILLISECONDS = 1e3


def emit(row: str, value: float, **details: object) -> None:
    """Prints one sample."""
    print(json.dumps({"row": row, "value": value, "details": details}), flush=True)


def read(batch_size: int, seconds: float, epoch: Callable[[], Iterator[Sized]], **details: object) -> None:
    """Reads whole epochs for at least so long and prints the rate and the 99th percentile of the time between batches.

    The rate counts from before an epoch is begun; the percentile leaves out the first batch of each. Epochs without end are
    read for `seconds`.
    """
    waits: list[float] = []
    indices = 0
    clock = time.perf_counter
    start = clock()
    end = start + seconds
    while clock() < end:
        last = None
        for batch in epoch():
            now = clock()
            if last is not None:
                waits.append(now - last)
            last = now
            indices += len(batch)
            if now > end and details.get("endless"):
                break
    emit(f"python-{batch_size}", indices / (clock() - start), **details)
    waits.sort()
    emit(f"python-{batch_size}-p99", MILLISECONDS * waits[len(waits) * 99 // 100], **details)
