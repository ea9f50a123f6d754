"""A training program whose DataLoader workers are started in a given way, after all has been used before.

    python start_program.py ADDRESS START_METHOD

Prints the batches it was given, as a list of lists.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
from torch.utils.data import DataLoader, Dataset

from swift_sampler import Client, Engine, Error
from swift_sampler.torch import BatchSampler

WORKERS = 4
BATCH_SIZE = 96


class Asking(Dataset):
    """Example i is i, if in this worker client, engine and sampler work, and the parent's stream is refused."""

    def __init__(self, client: Client, engine: Engine, batches: BatchSampler) -> None:
        self.client = client
        self.engine = engine
        self.batches = batches
        self.parent = os.getpid()
        self.asked = False

    def __len__(self) -> int:
        return self.engine.rows

    def __getitem__(self, index: int) -> int:
        if not self.asked:
            assert os.getpid() != self.parent
            drawn = self.engine.batch(0, batch_size=BATCH_SIZE, seed=3).indices
            served = next(self.client.batches(self.batches.job)).indices
            assert np.array_equal(served, drawn) and self.client.dataset("d").rows == len(self)
            self.batches.set_epoch(0)
            assert next(iter(self.batches)) == drawn.tolist()
            if inherited:
                try:
                    next(inherited[0])
                except Error:
                    inherited.clear()
                else:
                    raise AssertionError("a forked worker read the parent's stream")
            self.asked = True
        return index


# What a forked worker inherits.
inherited: list = []


def main(address: str, start: str) -> None:
    client = Client(address)
    rows = client.dataset("d").rows
    engine = Engine({"loss": np.arange(rows), "entropy": np.arange(rows)})
    batches = BatchSampler(client, f"start-{start}", "d", batch_size=BATCH_SIZE, seed=3)
    next(iter(batches))
    running = client.batches(batches.job, 0, 500)
    assert next(running).step == 0
    inherited.append(running)
    assert engine.batch(0, batch_size=BATCH_SIZE, seed=3).step == 0
    loader = DataLoader(
        Asking(client, engine, batches),
        batch_sampler=batches,
        collate_fn=list,
        num_workers=WORKERS,
        multiprocessing_context=start,
        persistent_workers=True,
    )
    trained = []
    for epoch in range(2):
        batches.set_epoch(epoch)
        trained.extend(loader)
    assert [batch.step for batch in running] == list(range(1, 500))
    print(json.dumps(trained))


if __name__ == "__main__":
    main(*sys.argv[1:])
