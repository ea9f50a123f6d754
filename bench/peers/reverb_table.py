#!/usr/bin/env python3
"""Reverb: a prioritized table in a server process, an item an example.

Rows: python-*, swap-first, memory.
"""

import argparse
import itertools
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import reverb
import tensorflow as tf
from memory import resident_bytes
from reading import BATCH_SIZES, MILLISECONDS, emit, read

TABLE = "examples"
IN_FLIGHT_ITEMS = 40
KEYS_BATCH = 1000
KEYS_SAMPLED = 3
"""Samples drawn for each item, to learn its key."""
IN_FLIGHT_BATCHES = 4
SERVE = "serve"


def serve(items: int) -> None:
    """Serves an empty table until standard input ends."""
    table = reverb.Table(
        name=TABLE,
        sampler=reverb.selectors.Prioritized(priority_exponent=1.0),
        remover=reverb.selectors.Fifo(),
        max_size=items,
        rate_limiter=reverb.rate_limiters.MinSize(1),
        signature=tf.TensorSpec((), tf.int32),
    )
    server = reverb.Server([table])
    print(server.port, flush=True)
    sys.stdin.read()
    server.stop()


def fill(client: reverb.Client, items: int) -> None:
    """Inserts an item an example, whose content is its index."""
    priorities = np.random.default_rng(1).random(items)
    with client.trajectory_writer(num_keep_alive_refs=1) as writer:
        for index, priority in enumerate(priorities.tolist()):
            writer.append(np.int32(index))
            writer.create_item(TABLE, priority=priority, trajectory=writer.history[-1])
            writer.flush(block_until_num_items=IN_FLIGHT_ITEMS)
        writer.flush()


def samples(address: str, batch_size: int) -> Iterator[reverb.ReplaySample]:
    """Yields batches of samples without end: indices, and their keys, probabilities and priorities."""
    dataset = reverb.TrajectoryDataset.from_table_signature(
        server_address=address, table=TABLE, max_in_flight_samples_per_worker=IN_FLIGHT_BATCHES * batch_size
    )
    return dataset.batch(batch_size).prefetch(1).as_numpy_iterator()


def update(client: reverb.Client, address: str, items: int, examples: int) -> None:
    """Gives most items a new priority, as a new sampler would, up to the first sample after it. The time is scaled to so
    many examples; a table tells its keys only with samples."""
    known: set[int] = set()
    for sample in itertools.islice(samples(address, KEYS_BATCH), KEYS_SAMPLED * items // KEYS_BATCH):
        known.update(sample.info.key.tolist())
    updates = dict(zip(known, np.random.default_rng(2).random(len(known)).tolist(), strict=True))
    start = time.perf_counter()
    client.mutate_priorities(TABLE, updates=updates)
    next(iter(client.sample(TABLE, num_samples=1, emit_timesteps=False)))
    seconds = time.perf_counter() - start
    emit("swap-first", MILLISECONDS * seconds * examples / len(known), items=len(known), seconds=seconds)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("measurement", choices=("python", "swap", "memory", SERVE))
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--examples", type=int, help="how many the time of a swap is scaled to")
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    items = arguments.items
    if arguments.measurement == SERVE:
        serve(items)
        return
    command = [sys.executable, __file__, SERVE, "--items", str(items)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    address = f"127.0.0.1:{server.stdout.readline().strip()}"
    before = resident_bytes(server.pid)
    client = reverb.Client(address)
    fill(client, items)
    match arguments.measurement:
        case "memory":
            emit("memory", (resident_bytes(server.pid) - before) / items, items=items)
        case "swap":
            update(client, address, items, arguments.examples or items)
        case "python":
            for batch_size in BATCH_SIZES:
                stream = samples(address, batch_size)
                next(stream)
                indices = (sample.data for sample in stream)
                read(batch_size, arguments.seconds, lambda: indices, endless=True, items=items)
    server.stdin.close()
    server.kill()


if __name__ == "__main__":
    main()
