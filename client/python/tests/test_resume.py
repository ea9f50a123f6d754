"""A state tells what the training loop was given, whatever a DataLoader has read ahead."""

from __future__ import annotations

import itertools
import multiprocessing
from collections.abc import Iterator
from typing import Any

import pytest
from accelerate.data_loader import prepare_data_loader
from conftest import SHARED_COLUMNS
from torch.utils.data import DataLoader, Dataset

from swift_sampler import Engine
from swift_sampler.delivery import Delivery
from swift_sampler.torch import BatchSampler

ROWS = 1000
BATCH_SIZE = 96
SEED = 3
# Epoch 0 has 11 batches, epoch 1 has 10, and so on.
EPOCH = 11
# A worker that is held back is let go within this.
HELD_MAX_SECONDS = 60

LOADERS = [
    {},
    *(
        {"num_workers": workers, "prefetch_factor": prefetch, "persistent_workers": persistent, "in_order": in_order}
        for workers, prefetch, persistent, in_order in itertools.product((2, 4), (2, 10), (False, True), (True, False))
    ),
]


def described(options: dict[str, Any]) -> str:
    return "-".join(f"{name}={value}" for name, value in options.items()) or "num_workers=0"


every_loader = pytest.mark.parametrize("options", LOADERS, ids=described)


class Numbers(Dataset):
    """Example i is i. Batches can be made to fail, or to be held back until a gate opens."""

    def __init__(self, broken: list[int] | None = None, held: list[int] | None = None) -> None:
        self.broken = broken
        self.held = held
        self.gate = multiprocessing.Event()

    def __len__(self) -> int:
        return ROWS

    def __getitems__(self, indices: list[int]) -> list[int]:
        if indices == self.broken:
            raise ValueError("broken")
        if indices == self.held:
            assert self.gate.wait(HELD_MAX_SECONDS)
        return indices


def load(batches: Any, dataset: Numbers | None = None, **options: Any) -> DataLoader:
    return DataLoader(dataset or Numbers(), batch_sampler=batches, collate_fn=list, **options)


@pytest.fixture
def batches(shared_address: str, job: str) -> BatchSampler:
    return BatchSampler(shared_address, job, "d", batch_size=BATCH_SIZE, seed=SEED)


def again(batches: BatchSampler, state: dict[str, Any]) -> BatchSampler:
    """A sampler as a restarted program makes it."""
    restarted = BatchSampler(batches.client.address, batches.job, "d", batch_size=BATCH_SIZE, seed=SEED)
    restarted.load_state_dict(state)
    return restarted


@pytest.fixture(scope="module")
def whole() -> list[list[int]]:
    """The job's global sequence, computed without a daemon."""
    drawn = Engine(SHARED_COLUMNS).batches(0, 4 * EPOCH, batch_size=BATCH_SIZE, seed=SEED)
    return [batch.indices.tolist() for batch in drawn]


@every_loader
def test_two_resumes_in_one_epoch_lose_and_repeat_nothing(
    batches: BatchSampler, whole: list[list[int]], options: dict[str, Any]
) -> None:
    trained: list[list[int]] = []
    for steps in (3, 2, EPOCH):
        batches.set_epoch(0)
        for batch in itertools.islice(load(batches, **options), steps):
            trained.append(batch)
            state = batches.state_dict()
        batches = again(batches, state)
    assert sorted(trained) == sorted(whole[:EPOCH])
    if options.get("in_order", True):
        assert trained == whole[:EPOCH]
    assert state["next_step"] == EPOCH and batches.epoch == 1


@every_loader
def test_a_broken_off_iteration_is_continued(
    batches: BatchSampler, whole: list[list[int]], options: dict[str, Any]
) -> None:
    loader = load(batches, **options)
    trained: list[list[int]] = []
    for steps in (4, 1, EPOCH, 2, EPOCH):
        trained.extend(itertools.islice(loader, steps))
    assert sorted(trained) == sorted(whole[: len(trained)]) and len(trained) == EPOCH + 10
    assert batches.next_step == len(trained)


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_the_place_is_that_of_the_loop_and_of_the_newest_iteration(batches: BatchSampler, workers: int) -> None:
    loader = load(batches, num_workers=workers)
    for epoch, first in ((0, 0), (1, 11), (2, 21)):
        batches.set_epoch(epoch)
        assert batches.next_step == first
        # Makes an iterator, which is dropped without having been asked for anything that counts.
        iter(loader)
        for step, _batch in enumerate(loader, start=first):
            assert batches.next_step == batches.state_dict()["next_step"] == step + 1
    iterator = iter(loader)
    next(iterator)
    batches.set_epoch(0)
    if workers == 0:
        with pytest.raises(RuntimeError, match="moved"):
            next(iterator)
    assert batches.next_step == 0


def test_what_overtook_is_not_delivered_again(batches: BatchSampler, whole: list[list[int]]) -> None:
    slow = Numbers(held=whole[1])
    loader = load(batches, slow, num_workers=2, in_order=False)
    iterator = iter(loader)
    trained = [next(iterator) for _ in range(4)]
    state = batches.state_dict()
    assert state["next_step"] == 1 and 2 <= len(state["ahead"]) <= 3
    slow.gate.set()
    rest = again(batches, state)
    # In the second run, other batches overtake; then the third delivers the rest in order.
    slow = Numbers(held=whole[1])
    iterator = iter(load(rest, slow, num_workers=4, in_order=False))
    trained += [next(iterator) for _ in range(3)]
    state = rest.state_dict()
    slow.gate.set()
    assert state["next_step"] == 1 and len(state["ahead"]) == 6
    trained += list(load(again(rest, state), num_workers=2))
    assert sorted(trained) == sorted(whole[:EPOCH])

    rank = BatchSampler(batches.client, batches.job, "d", batch_size=BATCH_SIZE, seed=SEED, rank=1, world_size=2)
    with pytest.raises(ValueError, match="rank 0 of 1 .*: rank 1 of 2 cannot"):
        rank.load_state_dict(state)


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}, {"num_workers": 2, "in_order": False}], ids=described)
def test_a_batch_that_failed_to_load_is_not_delivered_until_it_is_passed_over(
    batches: BatchSampler, whole: list[list[int]], options: dict[str, Any]
) -> None:
    data = Numbers(broken=whole[2], held=whole[8])
    iterator = iter(load(batches, data, **options))
    delivered: list[list[int]] = []
    with pytest.raises(ValueError, match="broken"):
        while True:
            delivered.append(next(iterator))
    state = batches.state_dict()
    rest = list(load(again(batches, state)))
    assert sorted(delivered + rest) == sorted(whole[:EPOCH]) and whole[2] in rest
    data.gate.set()
    delivered.append(next(iterator))
    rest = list(load(again(batches, batches.state_dict())))
    assert sorted([*delivered, whole[2], *rest]) == sorted(whole[:EPOCH]) and whole[2] not in rest
    # An error of a worker keeps torch's iterator in a cycle of references, and one that is collected as part of a cycle
    # closes its queues before its workers are told to end, and waits 5 s for each.
    getattr(iterator, "_shutdown_workers", lambda: None)()


class Logged:
    """What programs put around a batch sampler: every batch is passed on."""

    def __init__(self, batches: BatchSampler, keep: int = 1) -> None:
        self.batches = batches
        self.keep = keep

    def __iter__(self) -> Iterator[list[int]]:
        yield from itertools.islice(self.batches, 0, None, self.keep)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_wrapper_is_seen_through_if_it_passes_every_batch_on(batches: BatchSampler, workers: int) -> None:
    for taken in (3, 5):
        list(itertools.islice(load(Logged(batches), num_workers=workers), taken))
    assert batches.next_step == 8
    batches.set_epoch(0)
    list(itertools.islice(load(Logged(batches, keep=2), num_workers=workers), 3))
    with pytest.raises(RuntimeError, match=r"drops, merges or reads ahead.*state_dict\(next_step=…\)"):
        batches.state_dict()
    assert batches.state_dict(next_step=5)["next_step"] == 5
    batches.seek(5)
    assert batches.next_step == 5


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_prepared_by_accelerate_is_known_to_read_ahead(batches: BatchSampler, workers: int) -> None:
    prepared = prepare_data_loader(load(batches, num_workers=workers), num_processes=1, process_index=0)
    next(iter(prepared))
    with pytest.raises(RuntimeError, match=r"accelerate reads a batch ahead.*state_dict\(next_step=…\)"):
        batches.state_dict()


def test_a_stateful_loader_prepared_by_accelerate_tells_the_place_itself(
    batches: BatchSampler, whole: list[list[int]]
) -> None:
    def prepared() -> Any:
        loader = load(again(batches, batches.state_dict(next_step=0)))
        return prepare_data_loader(loader, num_processes=1, process_index=0, use_stateful_dataloader=True)

    loader = prepared()
    iterator = iter(loader)
    trained = [next(iterator) for _ in range(4)]
    resumed = prepared()
    resumed.load_state_dict(loader.state_dict())
    assert trained + list(resumed) == whole[:EPOCH]


class LoaderOfAnotherTorch:
    """An iterator with other private fields."""


@pytest.mark.parametrize(
    "fields", [{}, {"_num_yielded": None}, {"_num_workers": 2, "_num_yielded": 0, "_send_idx": 0}], ids=str
)
def test_a_torch_that_tells_no_longer_what_was_delivered_is_not_guessed_at(fields: dict[str, Any]) -> None:
    loader = LoaderOfAnotherTorch()
    vars(loader).update(fields)
    delivery = Delivery(loader, direct=True)
    delivery.ask()
    delivery.give()
    with pytest.raises(RuntimeError, match=r"version of torch.*is gone.*state_dict\(next_step=…\)"):
        delivery.delivered()


def test_the_last_batch_of_an_epoch_ends_the_epoch_that_is_resumed(batches: BatchSampler, whole: list[list[int]]) -> None:
    list(itertools.islice(load(batches), EPOCH))
    state = batches.state_dict()
    resumed = again(batches, state)
    # As a program does that was interrupted in epoch 0: there is nothing left of it.
    trained = []
    for epoch in range(2):
        resumed.set_epoch(epoch)
        trained.append(list(load(resumed)))
    assert trained == [[], whole[EPOCH : EPOCH + 10]]
    # And one that goes by the sampler's own epoch.
    assert list(load(again(batches, state))) == trained[1]


def test_a_steps_own_count_can_be_resumed_at(batches: BatchSampler, whole: list[list[int]]) -> None:
    for move in (lambda sampler: sampler.seek(4), lambda sampler: again(sampler, sampler.state_dict(next_step=4))):
        moved = move(batches) or batches
        moved.set_epoch(0)
        assert list(load(moved)) == whole[4:EPOCH]
    with pytest.raises(ValueError, match="numbered from 0"):
        batches.seek(-1)
