#!/usr/bin/env python3
"""A trial's training loop, its batches from samplerd, beside the same loop with batches made beforehand.

The network and the data have the size of a trial's on Fashion-MNIST; the pixels are made up. Row: trial-overhead.
"""

import argparse
import sys
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from swift_sampler import Client
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))
from reading import emit  # noqa: E402  (the peers' programs print with the same code)

BATCH_SIZE = 256
EXAMPLES = 20_000
PIXELS, CLASSES = 784, 10
WARM_UP_STEPS = 10
PERCENT = 100


class Training:
    """A multilayer perceptron and what it is trained on."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(1)
        self.images = torch.rand(EXAMPLES, PIXELS, generator=random)
        self.labels = torch.randint(CLASSES, (EXAMPLES,), generator=random)
        layers = (nn.Linear(PIXELS, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, CLASSES))
        self.network = nn.Sequential(*layers)
        self.optimiser = torch.optim.SGD(self.network.parameters(), lr=0.05, momentum=0.9)

    def run(self, batches: Iterable[np.ndarray], steps: int) -> tuple[float, float]:
        """Trains, and returns the seconds it took and those spent waiting for batches."""
        iterator, clock, waited = iter(batches), time.perf_counter, 0.0
        start = clock()
        for _ in range(steps):
            asked = clock()
            indices = next(iterator)
            waited += clock() - asked
            rows = torch.from_numpy(indices.astype(np.int64) % EXAMPLES)
            self.optimiser.zero_grad()
            nn.functional.cross_entropy(self.network(self.images[rows]), self.labels[rows]).backward()
            self.optimiser.step()
        return clock() - start, waited


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--daemon", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--steps", type=int, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    steps, client, job = arguments.steps, Client(arguments.daemon), f"bench/{uuid.uuid4()}"
    client.open_job(job, arguments.dataset, batch_size=BATCH_SIZE)
    training = Training()
    made = [batch.indices for batch in client.batches(job, 0, steps + WARM_UP_STEPS)]
    training.run(made, WARM_UP_STEPS)
    alone, _ = training.run(made, steps)
    pulled, waited = training.run((batch.indices for batch in client.batches(job)), steps)
    client.remove_job(job)
    emit("trial-overhead", PERCENT * waited / pulled, steps=steps, alone_seconds=alone, pulled_seconds=pulled)


if __name__ == "__main__":
    main()
