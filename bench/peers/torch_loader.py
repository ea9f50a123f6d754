#!/usr/bin/env python3
"""torch: DataLoader, or torchdata's StatefulDataLoader, over a WeightedRandomSampler, no workers.

But for loader-tensors, the data set returns the indices it is asked for as one array, so that nothing but the sampling and the
loader is measured.
Rows: python-*, loader-*, resume-*, swap-first, memory.
"""

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TypeVar

import numpy as np
import torch
from memory import resident_bytes
from reading import BATCH_SIZES, MILLISECONDS, emit, read
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

BATCH_SIZE = 256
NUMBERS = 4
"""Of an example that is fetched: few, so that fetching does not hide the sampling."""
RESUME_SHARE = 0.9


class Indices(Dataset):
    """Its examples are their indices, a batch of them one array."""

    def __init__(self, examples: int) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return self.examples

    def __getitems__(self, indices: Sequence[int]) -> np.ndarray:
        return np.asarray(indices, dtype=np.uint32)


class Tensors(Dataset):
    """Its examples are a few numbers, a batch of them one tensor."""

    def __init__(self, examples: int) -> None:
        self.examples = torch.rand(examples, NUMBERS, generator=torch.Generator().manual_seed(1))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitems__(self, indices: Sequence[int]) -> torch.Tensor:
        return self.examples[torch.as_tensor(indices)]


Batch = TypeVar("Batch")


def as_they_are(batch: Batch) -> Batch:
    """Collates nothing."""
    return batch


def first_and_rate(loader: Iterable[Sized], row_first: str | None, row_rate: str) -> None:
    """Iterates over an epoch: how long until its first batch, and the rate of all of it."""
    start = time.perf_counter()
    batches = iter(loader)
    count = len(next(batches))
    if row_first:
        emit(row_first, MILLISECONDS * (time.perf_counter() - start))
    count += sum(map(len, batches))
    emit(row_rate, count / (time.perf_counter() - start))


class Loaders:
    """Makes loaders over the same weights."""

    def __init__(self, examples: int, stateful: bool) -> None:
        self.examples = examples
        self.weights = torch.rand(examples, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        self.kind = DataLoader
        if stateful:
            from torchdata.stateful_dataloader import StatefulDataLoader

            self.kind = StatefulDataLoader

    def loader(self, batch_size: int, data: Dataset | None = None) -> DataLoader:
        """Returns a new loader with a new sampler."""
        sampler = WeightedRandomSampler(self.weights, self.examples)
        return self.kind(data or Indices(self.examples), batch_size, sampler=sampler, collate_fn=as_they_are)

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
        """The first batch of an epoch, and rates."""
        first_and_rate(self.loader(BATCH_SIZE), "loader-first", "loader-256")
        first_and_rate(self.loader(BATCH_SIZE, Tensors(self.examples)), None, "loader-tensors")

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
