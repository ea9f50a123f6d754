#!/usr/bin/env python3
"""SPDL: its weighted sampler, in lists of a batch, as the source of a pipeline that makes arrays of them.

Its own `aggregate`, which takes indices one by one, is a hundred times slower.

Rows: python-*.
"""

import argparse
from collections.abc import Iterator
from itertools import islice

import numpy as np
from reading import BATCH_SIZES, read
from spdl.pipeline import PipelineBuilder
from spdl.source import DistributedRandomSampler

BUFFER_BATCHES = 2


def epoch(sampler: DistributedRandomSampler, batch_size: int) -> Iterator[np.ndarray]:
    """Yields the batches of one pass over the sampler."""
    indices = iter(sampler)
    lists = iter(lambda: list(islice(indices, batch_size)), [])
    pipeline = PipelineBuilder().add_source(lists).pipe(np.asarray).add_sink(BUFFER_BATCHES).build(num_threads=1)
    with pipeline.auto_stop():
        yield from pipeline.get_iterator()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    weights = np.random.default_rng(1).random(arguments.examples)
    sampler = DistributedRandomSampler(arguments.examples, rank=0, world_size=1, weights=weights)
    for batch_size in BATCH_SIZES:
        read(batch_size, arguments.seconds, lambda: epoch(sampler, batch_size), examples=arguments.examples)


if __name__ == "__main__":
    main()
