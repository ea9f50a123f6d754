"""DataLoader workers, however many and however started, change nothing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED_COLUMNS
from torch.utils.data import DataLoader, Dataset

from swift_sampler import Engine
from swift_sampler.torch import BatchSampler

ROWS = 1000
BATCH_SIZE = 96
STEPS = 21
PROGRAM = Path(__file__).with_name("start_program.py")
# A program with four workers has ended within this, busy machine or not.
PROGRAM_MAX_SECONDS = 240
# SHA-256 of the uniform sampler's batches 0 to 20 at seed 3, as little-endian u32. Never changes.
SEQUENCE_SHA256 = "b14ef97f0053b3724e8edbb58bcd3fdb3120c8be598b25a1484b9749987ffcf2"


class Numbers(Dataset):
    """Example i is i."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> int:
        return index


def digest(batches: list[list[int]]) -> str:
    return hashlib.sha256(np.concatenate([np.array(batch, "<u4") for batch in batches]).tobytes()).hexdigest()


@pytest.mark.parametrize("prefetch", [2, 10])
@pytest.mark.parametrize("workers", [0, 1, 2, 3, 4])
def test_any_number_of_workers_gives_the_same_global_sequence(
    shared_address: str, job: str, workers: int, prefetch: int
) -> None:
    batches = BatchSampler(shared_address, job, "d", batch_size=BATCH_SIZE, seed=3)
    options = {"num_workers": workers, "prefetch_factor": prefetch} if workers else {}
    loader = DataLoader(Numbers(), batch_sampler=batches, collate_fn=list, **options)
    trained = [batch for _epoch in range(2) for batch in loader]
    assert len(trained) == STEPS and digest(trained) == SEQUENCE_SHA256


def test_the_engine_gives_that_sequence_too() -> None:
    drawn = Engine(SHARED_COLUMNS).batches(0, STEPS, batch_size=BATCH_SIZE, seed=3)
    assert digest([batch.indices.tolist() for batch in drawn]) == SEQUENCE_SHA256


@pytest.mark.parametrize("start", ["fork", "spawn", "forkserver"])
def test_four_workers_started_after_everything_was_used_work_and_end(shared_address: str, start: str) -> None:
    command = [sys.executable, PROGRAM, shared_address, start]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_MAX_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    trained = json.loads(done.stdout)
    assert len(trained) == STEPS and digest(trained) == SEQUENCE_SHA256
