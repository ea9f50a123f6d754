"""Draws under the real Grain."""

from __future__ import annotations

import subprocess
import sys

import grain.python as grain
import numpy as np
import pytest
from conftest import SHARED_COLUMNS

from swift_sampler import Client, Engine
from swift_sampler.grain import Draws, DrawSampler

BATCH_SIZE = 96
SEED = 3
# Before this draw, in the middle of an epoch, the iterator is saved.
SAVED_AT = 300


class Rows:
    """Example i is i."""

    def __repr__(self) -> str:
        return "Rows()"

    def __len__(self) -> int:
        return 1000

    def __getitem__(self, row: int) -> int:
        return int(row)


class Noise(grain.RandomMapTransform):
    """Puts a random number beside the row."""

    def random_map(self, row: int, rng: np.random.Generator) -> tuple[int, float]:
        return row, float(rng.random())


@pytest.fixture
def client(shared_address: str, job: str) -> Client:
    client = Client(shared_address)
    client.open_job(job, "d", batch_size=BATCH_SIZE, seed=SEED)
    return client


def loader(draws: Draws, workers: int) -> grain.DataLoader:
    return grain.DataLoader(
        data_source=Rows(),
        sampler=DrawSampler(draws),
        operations=[Noise()],
        worker_count=workers,
        shard_options=grain.NoSharding(),
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_the_jobs_draws_and_resumes_in_the_middle_of_an_epoch(
    client: Client, job: str, workers: int
) -> None:
    expected = list(Draws(client, job, epochs=1))
    iterator = iter(loader(Draws(client, job, epochs=1), workers))
    first = [next(iterator) for _ in range(SAVED_AT)]
    state = iterator.get_state()
    rest = list(iterator)
    assert [row for row, _ in first + rest] == expected

    resumed = iter(loader(Draws(client, job, epochs=1), workers))
    resumed.set_state(state)
    assert list(resumed) == rest
    # Another world size numbers its draws differently: Grain refuses the state.
    other = iter(loader(Draws(client, job, epochs=1, world_size=2), workers))
    with pytest.raises(ValueError, match="does not match"):
        other.set_state(state)


def test_the_random_numbers_of_a_draw_are_the_same_for_any_world_size(client: Client, job: str) -> None:
    whole = list(loader(Draws(client, job, epochs=1), 0))
    for rank in range(3):
        draws = Draws(client, job, epochs=1, rank=rank, world_size=3)
        assert list(loader(draws, 0)) == [whole[draws.number(index)] for index in range(len(draws))]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_map_dataset_keeps_the_jobs_batches_with_workers(client: Client, job: str, workers: int) -> None:
    draws = Draws(client, job, epochs=1, rank=1, world_size=5)
    batches = grain.MapDataset.source(draws).map(Rows().__getitem__).batch(draws.share).to_iter_dataset()
    if workers:
        batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers))
    engine = Engine(SHARED_COLUMNS, batch_size=BATCH_SIZE, seed=SEED)
    expected = [batch.indices.tolist() for batch in engine.batches(0, engine.first_step(1), rank=1, world_size=5)]
    iterator = iter(batches)
    first = [next(iterator).tolist() for _ in range(4)]
    state = iterator.get_state()
    resumed = iter(batches)
    resumed.set_state(state)
    assert first + [batch.tolist() for batch in resumed] == expected


def test_the_module_is_there_without_grain() -> None:
    program = (
        "import sys; sys.modules['grain'] = None\n"
        "from swift_sampler.grain import DrawSampler\n"
        "try:\n    DrawSampler(None)\nexcept ImportError as error:\n    print(error)\n"
    )
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "grain" in output
