#!/usr/bin/env python3
"""Batches of samplerd as NumPy arrays, as fast as they come.

Rows: python-*.
"""

import argparse
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from swift_sampler import Client

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))
from reading import BATCH_SIZES, read  # noqa: E402  (the peers' programs read with the same code)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--daemon", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    client = Client(arguments.daemon)
    for batch_size in BATCH_SIZES:
        job = f"bench/{uuid.uuid4()}"
        client.open_job(job, arguments.dataset, batch_size=batch_size)
        stream = client.batches(job)
        next(stream)

        def indices() -> Iterator[np.ndarray]:
            for batch in stream:
                yield batch.indices if len(batch.probabilities) else batch.indices[:0]

        read(batch_size, arguments.seconds, indices, endless=True)
        client.remove_job(job)


if __name__ == "__main__":
    main()
