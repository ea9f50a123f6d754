"""A job as a sequence of draws: any order, any rank, from the daemon or without."""

from __future__ import annotations

import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import SHARED_COLUMNS

import swift_sampler
from swift_sampler import Client, Draws, Engine

BATCH_SIZE = 96
SEED = 3


@pytest.fixture
def client(shared_address: str, job: str) -> Client:
    client = Client(shared_address)
    client.open_job(job, "d", batch_size=BATCH_SIZE, seed=SEED)
    return client


@pytest.fixture
def engine() -> Engine:
    return Engine(SHARED_COLUMNS, batch_size=BATCH_SIZE, seed=SEED)


def test_an_element_is_a_draw_in_any_order_and_from_either_source(client: Client, job: str, engine: Engine) -> None:
    drawn = np.concatenate([batch.indices for batch in engine.batches(0, 21)])
    for source in (Draws(client, job, epochs=2), Draws(engine, epochs=2), Draws(client, job, epochs=2, block_draws=1)):
        assert len(source) == len(drawn) == 21 * BATCH_SIZE
        assert (source[:] == drawn).all() and source[:].dtype == np.uint32
        for number in np.random.default_rng(0).permutation(len(drawn))[:200].tolist():
            assert source[number] == drawn[number]
        assert source[-1] == drawn[-1] and list(source) == drawn.tolist()
        for part in (slice(10, 500, 7), slice(900, 3, -5), slice(None, None, -1), slice(-3, None), slice(5, 5), slice(0, 999, 2000)):
            assert source[part].tolist() == drawn[part].tolist()
        for number in (len(drawn), -len(drawn) - 1):
            with pytest.raises(IndexError, match=f"draw {number} of 2016"):
                source[number]


@pytest.mark.parametrize("world_size", [2, 5, 18])
def test_a_ranks_draws_are_its_shares_of_the_batches(client: Client, job: str, engine: Engine, world_size: int) -> None:
    whole = Draws(engine, epochs=1)
    ranks = [Draws(client, job, epochs=1, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert sum(rank.share for rank in ranks) == BATCH_SIZE
    for rank in ranks:
        assert [whole[rank.number(index)] for index in range(len(rank))] == list(rank)


def test_a_draw_far_ahead_costs_what_the_first_costs(client: Client, job: str, engine: Engine) -> None:
    draws = Draws(client, job)
    assert len(draws) == sys.maxsize
    far = 10**11
    step, place = divmod(far, BATCH_SIZE)
    assert draws[far] == engine.batch(step).indices[place]


def test_blocks_are_forgotten_when_many_were_used(client: Client, job: str) -> None:
    draws = Draws(client, job, block_draws=BATCH_SIZE)
    first = draws[0]
    assert len({draws[step * BATCH_SIZE] for step in range(100)}) > 1
    assert len(draws._blocks) <= swift_sampler.draws.BLOCKS_KEPT and draws[0] == first


def test_threads_and_copies_draw_the_same(client: Client, job: str) -> None:
    draws = Draws(client, job, epochs=1, block_draws=200)
    expected = list(Draws(client, job, epochs=1))
    copy = pickle.loads(pickle.dumps(draws))
    assert repr(copy) == repr(draws)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(copy.__getitem__, range(len(copy)))) == expected


def test_an_engines_later_swap_is_not_that_of_its_draws(engine: Engine) -> None:
    draws = Draws(engine, epochs=1)
    engine.activate_at(3, {"kind": "column", "column": "loss"})
    swapped = Draws(engine, epochs=1)
    assert (draws[: 3 * BATCH_SIZE] == swapped[: 3 * BATCH_SIZE]).all()
    assert (draws[3 * BATCH_SIZE :] != swapped[3 * BATCH_SIZE :]).any()
    assert repr(draws) != repr(swapped)


def test_an_epoch_of_stratified_draws_has_every_example_once() -> None:
    engine = Engine(SHARED_COLUMNS, batch_size=100, mode="stratified")
    assert sorted(Draws(engine, epochs=1)) == list(range(1000))


def test_what_cannot_be_a_sequence_is_refused(client: Client, job: str, engine: Engine) -> None:
    for message, make in {
        "name one": lambda: Draws(client),
        "job is for a client": lambda: Draws(engine, job),
        "batch size": lambda: Draws(Engine(SHARED_COLUMNS)),
        "rank 2 of 2": lambda: Draws(client, job, rank=2, world_size=2),
        "97 ranks share": lambda: Draws(client, job, world_size=97),
        "epochs 0": lambda: Draws(client, job, epochs=0),
    }.items():
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(swift_sampler.NotFound):
        Draws(client, "gone")
