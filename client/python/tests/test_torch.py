"""BatchSampler under the real DataLoader."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from conftest import write_parquet
from torch.utils.data import DataLoader, Dataset

import swift_sampler
from swift_sampler import Client
from swift_sampler.torch import BatchSampler

BATCH_SIZE = 96
ROWS = 1000


class Numbers(Dataset):
    """Example i is i, with the process that read it."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, index: int) -> tuple[int, int]:
        return index, os.getpid()


def sampler(client: Client | str, **arguments: int | None) -> BatchSampler:
    return BatchSampler(client, "train", "d", batch_size=BATCH_SIZE, seed=3, **arguments)  # type: ignore[arg-type]


def global_batches(client: Client, steps: int) -> list[list[int]]:
    client.open_job("train", "d", batch_size=BATCH_SIZE, seed=3)
    return [batch.indices.tolist() for batch in client.batches("train", 0, steps)]


WORKERS = [(0, None), (2, "fork")]


@pytest.mark.parametrize(("workers", "start"), WORKERS)
def test_a_loader_delivers_epoch_after_epoch(client: Client, dataset: str, workers: int, start: str | None) -> None:
    batches = sampler(client)
    loader = DataLoader(Numbers(), batch_sampler=batches, num_workers=workers, multiprocessing_context=start)
    seen, processes = [], set()
    for epoch in range(2):
        batches.set_epoch(epoch)
        assert len(loader) == len(batches)
        delivered = list(loader)
        assert len(delivered) == -(-(epoch + 1) * ROWS // BATCH_SIZE) - -(-epoch * ROWS // BATCH_SIZE)
        for indices, readers in delivered:
            seen.append(indices.tolist())
            processes.update(readers.tolist())
    assert seen == global_batches(client, len(seen))
    assert (os.getpid() in processes) == (workers == 0)


class Batched(Dataset):
    """Example i is i; a batch is fetched at once and says what it was asked with."""

    def __len__(self) -> int:
        return ROWS

    def __getitems__(self, indices: list[int] | np.ndarray) -> tuple[type, torch.Tensor]:
        return type(indices), torch.arange(ROWS)[indices]


@pytest.mark.parametrize(("workers", "start"), WORKERS)
@pytest.mark.parametrize(("indices", "kind"), [("list", list), ("numpy", np.ndarray)])
def test_a_dataset_that_fetches_whole_batches_is_given_the_kind_of_indices_it_wants(
    client: Client, dataset: str, workers: int, start: str | None, indices: Literal["list", "numpy"], kind: type
) -> None:
    batches = sampler(client, indices=indices)  # type: ignore[arg-type]
    loader = DataLoader(
        Batched(), batch_sampler=batches, num_workers=workers, multiprocessing_context=start, collate_fn=lambda batch: batch
    )
    delivered = list(loader)
    assert [given for given, _ in delivered] == [kind] * 11
    assert [rows.tolist() for _, rows in delivered] == global_batches(client, 11)


def test_an_array_of_indices_belongs_to_whom_it_is_given(client: Client, dataset: str) -> None:
    for indices in sampler(client, indices="numpy"):  # type: ignore[arg-type]
        assert indices.dtype == np.int64 and indices.flags.writeable and indices.flags.owndata


def test_the_length_is_that_of_the_epoch_in_hand_until_the_next_begins(client: Client, dataset: str) -> None:
    batches = sampler(client)
    for length in (11, 10, 11):
        delivered = len(list(batches))
        assert (delivered, len(batches)) == (length, length)
    batches.set_epoch(3)
    assert len(batches) == 10
    iterator = iter(batches)
    next(iterator)
    resumed = sampler(client)
    resumed.load_state_dict(batches.state_dict())
    assert len(batches) == len(resumed) == 10, "the whole epoch's, not its rest's"
    batches.seek(0)
    assert len(batches) == 11


def test_epochs_follow_each_other_without_set_epoch(client: Client, dataset: str) -> None:
    batches = sampler(client)
    lengths = [len(list(batches)) for _ in range(4)]
    assert lengths == [11, 10, 11, 10]
    assert batches.next_step == sum(lengths) and batches.epoch == 4


@pytest.mark.parametrize("world_size", [1, 3])
def test_a_state_resumes_in_the_middle_of_an_epoch(client: Client, dataset: str, world_size: int) -> None:
    before = sampler(client, rank=0, world_size=1)
    iterator = iter(before)
    taken = [next(iterator) for _ in range(4)]
    state = pickle.loads(pickle.dumps(before.state_dict()))
    assert state["next_step"] == 4
    ranks = [sampler(client, rank=rank, world_size=world_size) for rank in range(world_size)]
    for rank in ranks:
        rank.load_state_dict(state)
        rank.set_epoch(0)
    rest = [sum(shares, []) for shares in zip(*ranks, strict=True)]
    assert len(rest) == 7 and all(rank.epoch == 1 for rank in ranks)
    assert taken + rest == global_batches(client, 11)


def test_a_state_of_another_job_is_refused(client: Client, dataset: str) -> None:
    state = sampler(client).state_dict()
    other = BatchSampler(client, "other", "d", batch_size=BATCH_SIZE, seed=4)
    with pytest.raises(ValueError, match="job"):
        other.load_state_dict(state)
    with pytest.raises(ValueError, match="seed"):
        other.load_state_dict({**state, "job": "other"})
    of_another_mode = BatchSampler(client, "other", "d", batch_size=BATCH_SIZE, seed=4, mode="stratified")
    with pytest.raises(swift_sampler.AlreadyExists, match="mode"):
        of_another_mode.load_state_dict(other.state_dict())
    with pytest.raises(ValueError, match="next_step"):
        other.load_state_dict({name: value for name, value in other.state_dict().items() if name != "next_step"})


def test_set_epoch_goes_to_an_epochs_first_step(client: Client, dataset: str) -> None:
    batches = sampler(client)
    batches.set_epoch(7)
    assert batches.next_step == -(-7 * ROWS // BATCH_SIZE)
    # Far beyond what the job has served.
    batches.set_epoch(100_000)
    assert len(next(iter(batches))) == BATCH_SIZE
    batches.set_epoch(0)
    assert list(batches) == global_batches(client, 11)
    with pytest.raises(ValueError, match="numbered from 0"):
        batches.set_epoch(-1)


def test_an_epoch_that_was_looked_into_starts_over_and_a_loaded_one_goes_on(client: Client, dataset: str) -> None:
    batches = sampler(client)
    whole = global_batches(client, 11)
    loader = DataLoader(Numbers(), batch_sampler=batches, num_workers=2)
    next(iter(loader))
    batches.set_epoch(0)
    assert [indices.tolist() for indices, _ in loader] == whole

    resumed = sampler(client)
    resumed.load_state_dict(batches.state_dict(next_step=4))
    resumed.set_epoch(0)
    assert list(resumed) == whole[4:]
    for next_step in (-5, "3", None):
        with pytest.raises(ValueError, match="next_step"):
            resumed.load_state_dict({**batches.state_dict(), "next_step": next_step})


@pytest.mark.parametrize("mode", ["stratified", "distinct"])
def test_an_epoch_of_a_mode_without_replacement_is_resumed_with_other_ranks(
    client: Client, dataset: str, mode: Literal["stratified", "distinct"]
) -> None:
    def make(rank: int = 0, world_size: int = 1) -> BatchSampler:
        shard = {"rank": rank, "world_size": world_size}
        return BatchSampler(client, "once", dataset, batch_size=100, epoch_draws=ROWS, mode=mode, **shard)

    batches = make()
    assert len(batches) == 10
    taken = sum(itertools.islice(batches, 3), [])
    ranks = [make(rank, 3) for rank in range(3)]
    for rank in ranks:
        rank.load_state_dict(batches.state_dict())
        taken += sum(rank, [])
    # Under the uniform sampler, every example once.
    assert sorted(taken) == list(range(ROWS))


def test_an_epoch_has_the_draws_it_was_given(client: Client, dataset: str) -> None:
    batches = BatchSampler(client, "short", dataset, batch_size=10, epoch_draws=45)
    assert [len(list(batches)) for _ in range(4)] == [5, 4, 5, 4]
    batches.set_epoch(3)
    assert batches.next_step == 14
    with pytest.raises(swift_sampler.AlreadyExists):
        len(BatchSampler(client, "short", dataset, batch_size=10, epoch_draws=46))


def test_a_batch_larger_than_an_epoch_is_refused(client: Client, dataset: str) -> None:
    with pytest.raises(ValueError, match="more than the 1000 draws"):
        len(BatchSampler(client, "large", "d", batch_size=ROWS + 1))


def test_a_sampler_connects_only_when_used(samplerd, tmp_path: Path, columns: dict[str, np.ndarray]) -> None:
    batches = sampler(samplerd.address)
    copy = pickle.loads(pickle.dumps(batches))
    Client(samplerd.address).import_dataset("d", write_parquet(tmp_path / "f.parquet", columns))
    assert list(copy) == list(batches)
    with pytest.raises(swift_sampler.Unavailable):
        len(sampler(Client("127.0.0.1:1", retry_deadline=0.1)))


def test_more_ranks_than_draws_are_refused(client: Client, dataset: str) -> None:
    with pytest.raises(ValueError, match="97 ranks share batches of 96"):
        next(iter(sampler(client, rank=0, world_size=97)))
    with pytest.raises(ValueError, match="together"):
        sampler(client, rank=1)


def rank_of_two(rank: int, address: str, store: str, results: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    batches = sampler(address)
    Path(f"{results}-{rank}").write_bytes(pickle.dumps(list(batches)))
    torch.distributed.destroy_process_group()


def test_rank_and_world_size_come_from_torch_distributed(samplerd, client: Client, dataset: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = (samplerd.address, str(tmp_path / "store"), str(tmp_path / "rank"))
    ranks = [context.Process(target=rank_of_two, args=(rank, *arguments)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(120)
        assert process.exitcode == 0
    shares = [pickle.loads((tmp_path / f"rank-{rank}").read_bytes()) for rank in range(2)]
    assert [left + right for left, right in zip(*shares, strict=True)] == global_batches(client, 11)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"batch_size": -1}, "batch_size -1"),
        ({"batch_size": 8, "seed": -1}, "seed -1"),
        ({"batch_size": 8, "seed": 2**64}, "seeds go from 0"),
        ({"batch_size": 8, "rank": -1, "world_size": 2}, "rank -1 of world size 2"),
        ({"batch_size": 8, "rank": 2, "world_size": 2}, "rank 2 of world size 2"),
        ({"batch_size": 8, "indices": "tensor"}, "indices 'tensor': list or numpy"),
    ],
)
def test_a_parameter_that_cannot_be_right_is_told_at_once(parameters: dict[str, int | str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BatchSampler(None, "job", "d", **parameters)  # type: ignore[arg-type]
