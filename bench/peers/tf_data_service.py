#!/usr/bin/env python3
"""The tf.data service: a dispatcher and a worker in a process of their own, a reader here.

The service has no weighted draws, so the worker's data set draws from an alias table written in TensorFlow.
Rows: python-*.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from reading import BATCH_SIZES, read

SEED = 7
PREFETCH_BATCHES = 2


def alias_table(examples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns thresholds, aliases and probabilities of random weights (Vose 1991)."""
    weights = np.random.default_rng(1).random(examples)
    probabilities = weights / weights.sum()
    threshold = probabilities * examples
    alias = np.arange(examples, dtype=np.int32)
    small = list(np.flatnonzero(threshold < 1))
    large = list(np.flatnonzero(threshold >= 1))
    while small and large:
        less, more = small.pop(), large[-1]
        alias[less] = more
        threshold[more] -= 1 - threshold[less]
        if threshold[more] < 1:
            small.append(large.pop())
    return threshold.astype(np.float32), alias, probabilities.astype(np.float32)


def batches_of(examples: int, batch_size: int) -> tf.data.Dataset:
    """Returns batches of indices and probabilities, without end."""
    threshold, alias, probabilities = map(tf.constant, alias_table(examples))

    def batch(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        random = tf.random.stateless_uniform((2, batch_size), tf.stack([SEED, number]))
        slot = tf.cast(random[0] * examples, tf.int32)
        index = tf.where(random[1] < tf.gather(threshold, slot), slot, tf.gather(alias, slot))
        return index, tf.gather(probabilities, index)

    return tf.data.Dataset.counter().map(batch, num_parallel_calls=1)


def serve() -> None:
    """Serves until standard input ends."""
    dispatcher = tf.data.experimental.service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    config = tf.data.experimental.service.WorkerConfig(dispatcher_address=address)
    worker = tf.data.experimental.service.WorkerServer(config)
    print(dispatcher.target, flush=True)
    sys.stdin.read()
    del worker


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--serve", action="store_true")
    parser.add_argument("--examples", type=int)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    target = server.stdout.readline().strip()
    for batch_size in BATCH_SIZES:
        dataset = batches_of(arguments.examples, batch_size).apply(
            tf.data.experimental.service.distribute("parallel_epochs", target)
        )
        batches = dataset.prefetch(PREFETCH_BATCHES).as_numpy_iterator()
        next(batches)

        def indices() -> Iterator[np.ndarray]:
            for index, _ in batches:
                yield index

        read(batch_size, arguments.seconds, indices, endless=True, examples=arguments.examples)
    server.stdin.close()
    server.kill()


if __name__ == "__main__":
    main()
