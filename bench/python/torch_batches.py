#!/usr/bin/env python3
"""samplerd through a torch DataLoader, whose data set returns the indices it is asked for as one array.

Rows: loader-*, resume-*.
"""

import argparse
import sys
import time
import uuid
from pathlib import Path
from typing import Literal

import torch
from swift_sampler import Client
from swift_sampler.torch import BatchSampler
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))
from reading import MILLISECONDS, emit  # noqa: E402  (the peers' programs print with the same code)
from torch_loader import (  # noqa: E402  (the same data sets as theirs)
    BATCH_SIZE,
    RESUME_SHARE,
    Indices,
    Tensors,
    as_they_are,
    first_and_rate,
)


class Job:
    """A job that batch samplers are made for."""

    def __init__(self, client: Client, dataset: str) -> None:
        self.client, self.dataset = client, dataset
        self.rows = client.dataset(dataset).rows
        self.name = f"bench/{uuid.uuid4()}"

    def sampler(self, indices: Literal["list", "numpy"] = "numpy") -> BatchSampler:
        """Returns a new batch sampler of the job."""
        return BatchSampler(self.client, self.name, self.dataset, batch_size=BATCH_SIZE, indices=indices)

    def loader(self, sampler: BatchSampler, data: Dataset | None = None) -> DataLoader:
        """Returns a loader without workers."""
        return DataLoader(data or Indices(self.rows), batch_sampler=sampler, collate_fn=as_they_are)


def first(job: Job) -> None:
    """The first batch of an epoch, and rates."""
    next(iter(job.loader(job.sampler())))
    first_and_rate(job.loader(job.sampler()), "loader-first", "loader-256")
    first_and_rate(job.loader(job.sampler("list")), None, "loader-lists")
    first_and_rate(job.loader(job.sampler(), Tensors(job.rows)), None, "loader-tensors")


def resume(job: Job) -> None:
    """The first batch of a new sampler, at the start and from a state at 90% of an epoch."""
    steps = job.rows // BATCH_SIZE
    for row, share in (("resume-0", 0.0), ("resume-90", RESUME_SHARE)):
        state = job.sampler().state_dict(next_step=int(share * steps))
        sampler = job.sampler()
        start = time.perf_counter()
        sampler.load_state_dict(state)
        next(iter(job.loader(sampler)))
        emit(row, MILLISECONDS * (time.perf_counter() - start))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--daemon", required=True)
    parser.add_argument("--dataset", required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    client = Client(arguments.daemon)
    for measure in (first, resume):
        job = Job(client, arguments.dataset)
        measure(job)
        client.remove_job(job.name)


if __name__ == "__main__":
    main()
