"""Features refreshed while a job is trained, and weights that correct for the sampler."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SWIFT, Samplerd, random_columns, write_parquet
from test_engine import assert_equal
from torch.utils.data import DataLoader, Dataset, TensorDataset

from swift_sampler import Client, Engine, FailedPrecondition, InvalidArgument
from swift_sampler.torch import BatchSampler, Weighted, WeightedIndex

ROWS = 1000
BATCH_SIZE = 100
WEIGHTS = {"kind": "column", "column": "grad_norm"}


def activate(client: Client, spec: dict[str, Any]) -> None:
    client.activate("d", client.put_sampler("d", spec).version)


@pytest.mark.parametrize("mode", ["independent", "stratified", "distinct"])
def test_a_training_loop_refreshes_its_losses_and_a_replay_repeats_it(
    samplerd: Samplerd, client: Client, dataset: str, columns: dict[str, np.ndarray], tmp_path: Path, mode: Any
) -> None:
    activate(client, SWIFT)
    batches = BatchSampler(client, "train", "d", batch_size=BATCH_SIZE, seed=3, mode=mode)
    trained, values = [], {1: columns}
    for epoch in range(4):
        trained += [rows.tolist() for rows in DataLoader(torch.arange(ROWS), batch_sampler=batches)]
        losses = torch.rand(ROWS, generator=torch.Generator().manual_seed(epoch))
        refreshed = client.refresh_features("d", {"loss": losses, "entropy": random_columns(ROWS, epoch)["entropy"]})
        assert (refreshed.features_revision, refreshed.active_version) == (epoch + 2, epoch + 3)
        values[epoch + 2] = {**columns, "loss": losses.double().numpy(), "entropy": random_columns(ROWS, epoch)["entropy"]}
        # The last epoch took up what was sent after the one before it.
        assert client.job("train").log[-1][1] == epoch + 2
    log = client.job("train").log
    assert [version for _, version in log] == [2, 3, 4, 5]
    assert client.sampler("d", 5).refreshed_from == 4 and client.sampler("d", 5).features_revision == 4

    samplerd.kill()
    samplerd.start()
    again = [batch.indices.tolist() for batch in client.batches("train", 0, len(trained))]
    assert again == trained
    served = list(client.batches("train", 0, len(trained)))
    replay = Engine.replay(client, "train", columns)
    assert_equal(list(replay.batches(0, len(trained))), served)
    assert_equal(list(pickle.loads(pickle.dumps(replay)).batches(0, len(trained))), served)
    # The same, told what came when: versions of an engine are numbered from 1.
    engine = Engine(columns, SWIFT, batch_size=BATCH_SIZE, seed=3, mode=mode)
    for (step, _), revision in zip(log[1:], (2, 3, 4), strict=True):
        new = values[revision]
        engine.refresh_at(step, {"loss": new["loss"], "entropy": new["entropy"]})
    drawn = [batch.indices.tolist() for batch in pickle.loads(pickle.dumps(engine)).batches(0, len(trained))]
    assert drawn == trained
    assert (engine.probabilities == Engine(values[4], SWIFT).probabilities).all()
    assert (engine.with_sampler(WEIGHTS).probabilities == Engine(values[4], WEIGHTS).probabilities).all()


def test_what_is_refused_changes_nothing_and_rollback_takes_values_back(
    client: Client, dataset: str, columns: dict[str, np.ndarray], tmp_path: Path
) -> None:
    activate(client, WEIGHTS)
    before = client.dataset("d")
    nan = columns["loss"].copy()
    nan[17] = np.nan
    for values, words in [
        ({"loss": nan}, ["loss", "row 17", "finite"]),
        ({"loss": nan[:5]}, ["5 rows", "1000"]),
        ({"los": columns["loss"]}, ["los", "entropy, grad_norm, loss"]),
        ({"loss": columns["loss"], "entropy": nan[:2]}, ["entropy", "2 values"]),
        ({"grad_norm": np.zeros(ROWS)}, ["zero"]),
        ({}, []),
    ]:
        with pytest.raises(InvalidArgument) as refused:
            client.refresh_features("d", values)
        assert all(word in str(refused.value) for word in words), refused.value
    assert (client.dataset("d").features_hash, client.dataset("d").active_version) == (before.features_hash, 2)

    part = client.refresh_features("d", {"grad_norm": [5.0, 0.0]}, first_row=7)
    expected = columns["grad_norm"].copy()
    expected[7:9] = [5.0, 0.0]
    assert part.features_hash == Engine({**columns, "grad_norm": expected}).dataset_hash
    file = write_parquet(tmp_path / "new.parquet", random_columns(ROWS, 8))
    assert client.refresh_features("d", file).features_hash == Engine(file).dataset_hash
    assert client.rollback("d").features_revision == 2
    client.refresh_features("d", random_columns(ROWS, 9))
    client.refresh_features("d", random_columns(ROWS, 10))
    assert client.dataset("d").kept_revisions == [1, 4, 5]
    with pytest.raises(FailedPrecondition, match="revision 2"):
        client.activate("d", 3)
    with pytest.raises(InvalidArgument, match="'los'"):
        Engine(columns, WEIGHTS).refresh_at(0, {"los": columns["loss"]})


class Batched(Dataset):
    """Squares of row numbers, fetched a batch at a time."""

    def __getitems__(self, indices: Any) -> list[int]:
        return [int(index) ** 2 for index in indices]

    def __len__(self) -> int:
        return ROWS


def test_the_mean_of_weighted_losses_is_the_mean_over_all_examples(
    client: Client, dataset: str, columns: dict[str, np.ndarray]
) -> None:
    activate(client, WEIGHTS)
    # What is drawn more often has larger losses: plain means are far too large.
    losses = torch.from_numpy(np.sqrt(columns["grad_norm"])).float()
    data = Weighted(TensorDataset(losses, torch.arange(ROWS)))
    probabilities = columns["grad_norm"] / columns["grad_norm"].sum()
    for mode in ("independent", "stratified"):
        batches = BatchSampler(client, mode, "d", batch_size=200, seed=1, mode=mode, weights=True)  # type: ignore[arg-type]
        means = []
        for epoch in range(40):
            batches.set_epoch(epoch)
            for loss, rows, weights in DataLoader(data, batch_sampler=batches):
                assert weights.dtype == torch.float32
                assert np.allclose(weights, 1 / (ROWS * probabilities[rows]), rtol=1e-5)
                means.append((weights * loss).mean().item())
        # 200 batches: within four standard errors.
        exact, error = losses.mean().item(), np.std(means) / np.sqrt(len(means))
        assert abs(np.mean(means) - exact) < 4 * error, (np.mean(means), exact, error)
        unweighted = (np.sqrt(columns["grad_norm"]) * probabilities).sum()
        assert abs(unweighted - exact) > 40 * error


def test_weights_come_as_a_dataset_wants_its_indices(columns: dict[str, np.ndarray]) -> None:
    engine = Engine(columns, WEIGHTS)
    plain = BatchSampler(engine, "j", "d", batch_size=10)
    first = next(iter(plain))
    weighted = next(iter(BatchSampler(engine, "j", "d", batch_size=10, weights=True)))
    assert [drawn.row for drawn in weighted] == first and isinstance(weighted[0], WeightedIndex)
    arrays = BatchSampler(engine, "j", "d", batch_size=10, indices="numpy", weights=True)
    indices, weights = next(iter(arrays))
    assert indices.dtype == np.int64 and weights.dtype == np.float32
    assert indices.tolist() == first and weights.tolist() == [drawn.weight for drawn in weighted]
    for kind in ("list", "numpy"):
        batches = BatchSampler(engine, "j", "d", batch_size=10, indices=kind, weights=True)  # type: ignore[arg-type]
        squares, given = next(iter(DataLoader(Weighted(Batched()), batch_sampler=batches)))
        assert squares.tolist() == [index**2 for index in first] and given.tolist() == weights.tolist()
