"""torchdata's StatefulDataLoader keeps the sampler's place in its own state."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest
from conftest import SHARED_COLUMNS
from torch.utils.data import Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

from swift_sampler import Engine
from swift_sampler.torch import BatchSampler

ROWS = 1000
BATCH_SIZE = 96
SEED = 3
EPOCH = 11

LOADERS = [
    {},
    *(
        {"num_workers": workers, "persistent_workers": persistent, "snapshot_every_n_steps": every}
        for workers, persistent, every in itertools.product((2, 4), (False, True), (1, 3))
    ),
]


class Numbers(Dataset):
    """Example i is i."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> int:
        return index


def loader(address: str, job: str, state: Any = None, **options: Any) -> tuple[BatchSampler, StatefulDataLoader]:
    """A sampler and a loader as a program makes them when it starts."""
    batches = BatchSampler(address, job, "d", batch_size=BATCH_SIZE, seed=SEED)
    loader = StatefulDataLoader(Numbers(), batch_sampler=batches, collate_fn=list, **options)
    if state is not None:
        loader.load_state_dict(pickle.loads(state))
    return batches, loader


def whole(steps: int) -> list[list[int]]:
    drawn = Engine(SHARED_COLUMNS).batches(0, steps, batch_size=BATCH_SIZE, seed=SEED)
    return [batch.indices.tolist() for batch in drawn]


@pytest.mark.parametrize("options", LOADERS, ids=lambda options: "-".join(map(str, options.values())) or "0")
def test_two_resumes_in_one_epoch_lose_and_repeat_nothing(
    shared_address: str, job: str, options: dict[str, Any]
) -> None:
    trained: list[list[int]] = []
    state = None
    for steps in (4, 3, EPOCH):
        batches, stateful = loader(shared_address, job, state, **options)
        for batch in itertools.islice(stateful, steps):
            trained.append(batch)
            state = pickle.dumps(stateful.state_dict())
            # The sampler's own state is that of the loop too, not of what was read ahead.
            assert batches.next_step == len(trained)
    # The epoch ended: its loader goes on with the next one, and so does one that resumes from there.
    trained.extend(itertools.islice(stateful, 2))
    state = pickle.dumps(stateful.state_dict())
    trained.extend(loader(shared_address, job, state, **options)[1])
    assert trained == whole(EPOCH + 10)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_state_of_a_finished_epoch_starts_the_next(shared_address: str, job: str, workers: int) -> None:
    _, stateful = loader(shared_address, job, num_workers=workers)
    first = list(stateful)
    state = pickle.dumps(stateful.state_dict())
    assert first + list(loader(shared_address, job, state, num_workers=workers)[1]) == whole(EPOCH + 10)


def test_a_state_of_one_loader_resumes_in_the_other(shared_address: str, job: str) -> None:
    batches, stateful = loader(shared_address, job, num_workers=2)
    trained = list(itertools.islice(stateful, 4))
    other = BatchSampler(shared_address, job, "d", batch_size=BATCH_SIZE, seed=SEED)
    other.load_state_dict(batches.state_dict())
    assert trained + list(other) == whole(EPOCH)
    iterator = iter(other)
    next(iterator)
    with pytest.raises(RuntimeError, match="before the first batch"):
        iterator.load_state_dict(batches.state_dict())  # type: ignore[attr-defined]


@pytest.mark.parametrize("workers", [0, 1])
def test_the_samplers_own_state_resumes_with_other_workers(shared_address: str, job: str, workers: int) -> None:
    batches, stateful = loader(shared_address, job, num_workers=2)
    trained = list(itertools.islice(stateful, 4))
    state = pickle.dumps(batches.state_dict())
    batches, stateful = loader(shared_address, job, num_workers=workers)
    batches.load_state_dict(pickle.loads(state))
    assert trained + list(stateful) == whole(EPOCH)
