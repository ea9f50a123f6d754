#!/usr/bin/env python3
"""torch: DataLoader, or torchdata's StatefulDataLoader, over a WeightedRandomSampler, no workers.

The data set returns the indices it is asked for as one array, so that nothing but the sampling and the loader is measured.
Rows: python-*, loader-*, resume-*, swap-first, memory.
"""

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from memory import resident_bytes
from reading import BATCH_SIZES, MILLISECONDS, emit, read
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

BATCH_SIZE = 256
RESUME_SHARE = 0.9


class Indices(Dataset):
    """Its examples are their indices, a batch of them one array."""

    def __init__(self, examples: int) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return self.examples

    def __getitems__(self, indices: Sequence[int]) -> np.ndarray:
        return np.asarray(indices, dtype=np.uint32)


def as_they_are(batch: np.ndarray) -> np.ndarray:
    """Collates nothing."""
    return batch


class Loaders:
    """Makes loaders over the same weights."""

    def __init__(self, examples: int, stateful: bool) -> None:
        self.examples = examples
        self.weights = torch.rand(examples, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        self.kind = DataLoader
        if stateful:
            from torchdata.stateful_dataloader import StatefulDataLoader

            self.kind = StatefulDataLoader

    def loader(self, batch_size: int) -> DataLoader:
        """Returns a new loader with a new sampler."""
        sampler = WeightedRandomSampler(self.weights, self.examples)
        return self.kind(Indices(self.examples), batch_size, sampler=sampler, collate_fn=as_they_are)

    def read(self, seconds: float) -> None:
        """Whole epochs."""
        for batch_size in BATCH_SIZES:
            loader = self.loader(batch_size)
            read(batch_size, seconds, lambda: iter(loader), examples=self.examples)

    def swap(self) -> None:
        """New weights: a new sampler, a new epoch."""
        self.weights = self.weights.flip(0)
        start = time.perf_counter()
        next(iter(self.loader(BATCH_SIZE)))
        emit("swap-first", MILLISECONDS * (time.perf_counter() - start), examples=self.examples)

    def first(self) -> None:
        """The first batch of an epoch, and the rate of one."""
        loader = self.loader(BATCH_SIZE)
        start = time.perf_counter()
        batches = iter(loader)
        count = len(next(batches))
        emit("loader-first", MILLISECONDS * (time.perf_counter() - start), examples=self.examples)
        count += sum(map(len, batches))
        emit("loader-256", count / (time.perf_counter() - start), examples=self.examples)

    def resume(self) -> None:
        """The first batch of a new loader, at the start and from a state at 90% of an epoch."""
        for row, share in (("resume-0", 0.0), ("resume-90", RESUME_SHARE)):
            loader = self.loader(BATCH_SIZE)
            batches: Iterator[np.ndarray] = iter(loader)
            for _ in range(int(share * len(loader))):
                next(batches)
            state = loader.state_dict()
            restarted = self.loader(BATCH_SIZE)
            start = time.perf_counter()
            if share > 0:
                restarted.load_state_dict(state)
            next(iter(restarted))
            emit(row, MILLISECONDS * (time.perf_counter() - start), examples=self.examples)


def memory(examples: int) -> None:
    """What the weights and one epoch's indices take, while they are iterated over."""
    before = resident_bytes()
    batches = iter(Loaders(examples, stateful=False).loader(BATCH_SIZE))
    next(batches)
    emit("memory", (resident_bytes() - before) / examples, examples=examples)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("measurement", choices=("python", "first", "resume", "swap", "memory"))
    parser.add_argument("--examples", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--stateful", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.measurement == "memory":
        memory(arguments.examples)
        return
    loaders = Loaders(arguments.examples, arguments.stateful)
    match arguments.measurement:
        case "python":
            loaders.read(arguments.seconds)
        case "first":
            loaders.first()
        case "resume":
            loaders.resume()
        case "swap":
            loaders.swap()


if __name__ == "__main__":
    main()
