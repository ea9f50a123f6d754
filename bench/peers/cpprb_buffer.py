#!/usr/bin/env python3
"""cpprb: a prioritized replay buffer in the trainer's process, an item an example.

Rows: python-*, swap-first, memory.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np
from cpprb import PrioritizedReplayBuffer
from memory import resident_bytes
from reading import BATCH_SIZES, MILLISECONDS, emit, read

CHUNK_ITEMS = 100_000


def filled(items: int, priorities: np.ndarray) -> PrioritizedReplayBuffer:
    """Returns a buffer of examples' indices."""
    buffer = PrioritizedReplayBuffer(items, {"index": {"dtype": np.uint32}}, alpha=1.0)
    for start in range(0, items, CHUNK_ITEMS):
        chunk = slice(start, min(start + CHUNK_ITEMS, items))
        buffer.add(index=np.arange(chunk.start, chunk.stop, dtype=np.uint32), priorities=priorities[chunk])
    return buffer


def batches(buffer: PrioritizedReplayBuffer, batch_size: int) -> Iterator[np.ndarray]:
    """Yields indices without end; weights come with them."""
    while True:
        yield buffer.sample(batch_size)["index"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("measurement", choices=("python", "swap", "memory"))
    parser.add_argument("--examples", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    items = arguments.examples
    priorities = np.random.default_rng(1).random(items).astype(np.float32)
    before = resident_bytes()
    buffer = filled(items, priorities)
    if arguments.measurement == "memory":
        next(batches(buffer, BATCH_SIZES[0]))
        emit("memory", (resident_bytes() - before) / items, items=items)
    elif arguments.measurement == "swap":
        everything = np.arange(items)
        start = time.perf_counter()
        buffer.update_priorities(everything, priorities[::-1].copy())
        next(batches(buffer, BATCH_SIZES[0]))
        emit("swap-first", MILLISECONDS * (time.perf_counter() - start), items=items)
    else:
        for batch_size in BATCH_SIZES:
            read(batch_size, arguments.seconds, lambda: batches(buffer, batch_size), endless=True, items=items)


if __name__ == "__main__":
    main()
