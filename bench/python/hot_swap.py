#!/usr/bin/env python3
"""Hot swaps under a stream: how soon the new version's first index comes, and how much longer the stream's gaps get.

Rows, by arguments: the one of activations, of putting and activating, and of gaps.
"""

import argparse
import json
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from swift_sampler import Client

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
from bench.features import spec  # noqa: E402  (a program, not part of the package)

BATCH_SIZE = 256
MILLISECONDS = 1e3
PAUSE_SECONDS = 0.1
"""Between swaps, so that each is one of its own."""
WARM_UP_SECONDS = 0.5
VERSION_WAIT_SECONDS_MAX = 60.0


class Stream:
    """Reads batches in a thread; knows when each version first came, and how long each batch was waited for."""

    def __init__(self, client: Client, job: str) -> None:
        self.first_seen: dict[int, float] = {}
        self.waits: list[float] = []
        self._seen = threading.Condition()
        self._stop = False
        self._thread = threading.Thread(target=self._read, args=(client, job))
        self._thread.start()

    def await_version(self, version: int) -> float:
        """Returns when the version first came."""
        with self._seen:
            if not self._seen.wait_for(lambda: version in self.first_seen, VERSION_WAIT_SECONDS_MAX):
                sys.exit(f"version {version} did not come within {VERSION_WAIT_SECONDS_MAX} s")
            return self.first_seen[version]

    def stop(self) -> None:
        """Ends the thread."""
        self._stop = True
        self._thread.join()

    def _read(self, client: Client, job: str) -> None:
        current, last = 0, time.perf_counter()
        for batch in client.batches(job):
            now = time.perf_counter()
            self.waits.append(now - last)
            if batch.version != current:
                current = batch.version
                with self._seen:
                    self.first_seen[current] = now
                    self._seen.notify_all()
            if self._stop:
                return
            last = now


@contextmanager
def streaming(client: Client, dataset: str) -> Iterator[Stream]:
    """A job of its own, read until the block ends."""
    job = f"bench/{uuid.uuid4()}"
    client.open_job(job, dataset, batch_size=BATCH_SIZE)
    stream = Stream(client, job)
    try:
        yield stream
    finally:
        stream.stop()
        client.remove_job(job)


def percentile(waits: list[float]) -> float:
    """Returns the 99.9th, in milliseconds."""
    return float(np.quantile(waits, 0.999)) * MILLISECONDS


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--daemon", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--swaps", type=int, required=True)
    parser.add_argument("--first-row", required=True)
    parser.add_argument("--put-row", required=True)
    parser.add_argument("--gaps-row", required=True)
    arguments = parser.parse_args()
    client, dataset = Client(arguments.daemon), arguments.dataset
    firsts, puts = [], []
    with streaming(client, dataset) as stream:
        time.sleep(WARM_UP_SECONDS)
        quiet_from = len(stream.waits)
        time.sleep(arguments.swaps * PAUSE_SECONDS)
        quiet = stream.waits[quiet_from:]
        # Numbers that no earlier run of this program has put.
        number = time.time_ns()
        swaps_from = len(stream.waits)
        for swap in range(arguments.swaps):
            start = time.perf_counter()
            version = client.put_sampler(dataset, spec(number + swap)).version
            activated = time.perf_counter()
            client.activate(dataset, version)
            first = stream.await_version(version)
            firsts.append((first - activated) * MILLISECONDS)
            puts.append((first - start) * MILLISECONDS)
            time.sleep(PAUSE_SECONDS)
        swapping = stream.waits[swaps_from:]
    details = {"swaps": arguments.swaps, "largest_ms": max(firsts)}
    grown = percentile(swapping) - percentile(quiet)
    for row, value, more in (
        (arguments.first_row, float(np.median(firsts)), details),
        (arguments.put_row, float(np.median(puts)), {"swaps": arguments.swaps}),
        (arguments.gaps_row, grown, {"quiet_p999_ms": percentile(quiet), "swapping_p999_ms": percentile(swapping)}),
    ):
        print(json.dumps({"row": row, "value": value, "details": more}))


if __name__ == "__main__":
    main()
