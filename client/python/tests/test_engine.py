"""What Engine promises: the daemon's batches without the daemon."""

from __future__ import annotations

import json
import multiprocessing
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from conftest import SWIFT, random_columns, write_parquet
from torch.utils.data import DataLoader

import swift_sampler
from swift_sampler import Batch, Client, Engine, InvalidArgument
from swift_sampler.client import Mode
from swift_sampler.torch import BatchSampler

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "engine.py"
WEIGHTS = {"kind": "column", "column": "grad_norm"}
# A child that only draws is done within this.
CHILD_MAX_SECONDS = 60


def assert_equal(ours: list[Batch], theirs: list[Batch]) -> None:
    """Batches are equal to the last bit."""
    assert len(ours) == len(theirs) > 0
    for our, their in zip(ours, theirs, strict=True):
        assert (our.step, our.epoch, our.version) == (their.step, their.epoch, their.version)
        assert our.indices.dtype == their.indices.dtype == np.uint32
        assert (our.indices == their.indices).all()
        assert (our.probabilities.view(np.uint32) == their.probabilities.view(np.uint32)).all()


def write(path: Path, columns: dict[str, np.ndarray]) -> Path:
    """Writes columns in the format of the path's extension, with the library users write it with."""
    if path.suffix == ".npz":
        np.savez(path, **columns)
    elif path.suffix == ".csv":
        pyarrow.csv.write_csv(pa.table(columns), path)
    else:
        write_parquet(path, columns)
    return path


@pytest.mark.parametrize("spec", [{"kind": "uniform"}, WEIGHTS, SWIFT])
def test_the_engine_draws_what_the_daemon_serves(
    client: Client, dataset: str, columns: dict[str, np.ndarray], spec: dict
) -> None:
    version = client.put_sampler(dataset, spec).version
    client.activate(dataset, version)
    client.open_job("j", dataset, batch_size=100, seed=2**64 - 1)
    engine = Engine(columns, spec)
    for engine in (engine, pickle.loads(pickle.dumps(engine)), Engine(columns).with_sampler(spec)):
        for rank in range(3):
            served = client.batches("j", 7, 30, rank=rank, world_size=3)
            drawn = engine.batches(7, 30, batch_size=100, seed=2**64 - 1, rank=rank, world_size=3, version=version)
            assert_equal(list(drawn), list(served))
    assert engine.probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert engine.effective_sample_size == pytest.approx(1 / (engine.probabilities**2).sum())
    sampler = client.sampler(dataset, version)
    assert engine.spec == sampler.spec and engine.effective_sample_size == sampler.effective_sample_size
    assert engine.dataset_hash == client.dataset(dataset).hash


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("mode", ["independent", "stratified", "distinct"])
def test_a_served_job_with_swaps_is_replayed(client: Client, tmp_path: Path, mode: Mode, seed: int) -> None:
    generator = np.random.default_rng(seed)
    columns = random_columns(int(generator.integers(300, 3000)), seed=10 + seed)
    file = write_parquet(tmp_path / "features.parquet", columns)
    client.import_dataset("d", file)
    batch_size, epoch_draws = int(generator.integers(1, 200)), int(generator.integers(200, 300))
    client.open_job("j", "d", batch_size=batch_size, seed=seed, mode=mode, epoch_draws=epoch_draws)
    served: list[Batch] = []
    for spec in (SWIFT, WEIGHTS, {"kind": "uniform"}, SWIFT):
        # Beyond the horizon, so that the swap before it is taken up.
        step = client.job("j").horizon
        served += client.batches("j", len(served), step + int(generator.integers(1, 30)))
        client.activate("d", client.put_sampler("d", spec).version)
    served += client.batches("j", len(served), client.job("j").horizon + 1)
    horizon = client.job("j").horizon
    record = client.job("j")
    assert len(record.log) > 2
    engines = [
        Engine.replay(client, "j", file),
        Engine.replay(client, "j", columns),
        Engine.replay_record(record, {v: client.sampler("d", v).spec for _, v in record.log}, file),
    ]
    for engine in (*engines, pickle.loads(pickle.dumps(engines[0]))):
        assert (engine.log, engine.horizon) == (record.log, horizon)
        assert_equal(list(engine.batches(0, len(served))), served)
        ranks = [engine.batch(len(served) // 2, rank=rank, world_size=7).indices for rank in range(7)]
        assert (np.concatenate(ranks) == served[len(served) // 2].indices).all()
    with pytest.raises(InvalidArgument, match=f"step {horizon} was not decided.*its horizon is {horizon}"):
        engine.batch(horizon)


def test_a_job_is_replayed_from_what_samplerctl_prints(columns: dict[str, np.ndarray]) -> None:
    engine = Engine(columns, SWIFT, batch_size=50, seed=3)
    engine.activate_at(10, WEIGHTS)
    printed = f"""{{"name":"train","dataset":"d","seed":3,"batch_size":50,"mode":"independent","follow":"step",
        "epoch_draws":1000,"horizon":128,"log":[{{"from_step":0,"version":1}},{{"from_step":10,"version":2}}],"dataset_rows":1000,
        "dataset_hash":"{engine.dataset_hash}"}}"""
    replay = Engine.replay_record(json.loads(printed), {1: SWIFT, 2: WEIGHTS}, columns)
    assert_equal(list(replay.batches(0, 128)), list(engine.batches(0, 128)))
    with pytest.raises(InvalidArgument, match="version 2, whose spec was not given"):
        Engine.replay_record(json.loads(printed), {1: SWIFT}, columns)
    with pytest.raises(InvalidArgument, match="steps before 128 are decided"):
        replay.activate_at(127, SWIFT)
    assert replay.activate_at(128, SWIFT) == 3
    assert replay.batch(200).version == 3


def test_other_features_than_the_jobs_are_refused(client: Client, dataset: str, columns: dict[str, np.ndarray]) -> None:
    client.open_job("j", dataset, batch_size=64)
    wrong = {**columns, "loss": columns["loss"] + 1}
    hashes = f"{Engine(wrong).dataset_hash}.*{client.dataset(dataset).hash}"
    with pytest.raises(InvalidArgument, match=hashes):
        Engine.replay(client, "j", wrong)
    with pytest.raises(swift_sampler.NotFound):
        Engine.replay(client, "k", columns)


@pytest.mark.parametrize("name", ["a.parquet", "a.npz", "a.csv"])
def test_files_and_arrays_are_one_dataset(columns: dict[str, np.ndarray], tmp_path: Path, name: str) -> None:
    arrays = Engine(columns, SWIFT, batch_size=64)
    file = Engine(write(tmp_path / name, columns), SWIFT, batch_size=64)
    assert file.dataset_hash == arrays.dataset_hash
    assert_equal(list(file.batches(0, 20)), list(arrays.batches(0, 20)))
    halves = [write(tmp_path / f"{part}-{name}", {n: v[part::2] for n, v in columns.items()}) for part in range(2)]
    shuffled = {n: np.concatenate([v[0::2], v[1::2]]) for n, v in columns.items()}
    assert Engine(halves, SWIFT).dataset_hash == Engine(shuffled, SWIFT).dataset_hash != arrays.dataset_hash


def test_what_is_wrong_with_features_is_named(columns: dict[str, np.ndarray], tmp_path: Path) -> None:
    bad = {**columns, "entropy": columns["entropy"].copy()}
    bad["entropy"][17] = np.nan
    missing = {"loss": columns["loss"]}
    for source in (bad, write(tmp_path / "nan.parquet", bad)):
        with pytest.raises(InvalidArgument, match="entropy.*row 17.*(nan|NaN)"):
            Engine(source)
    for source in (missing, write(tmp_path / "missing.npz", missing)):
        with pytest.raises(InvalidArgument, match='no column "entropy"'):
            Engine(source)
    with pytest.raises(InvalidArgument, match="none.parquet.*No such file"):
        Engine(tmp_path / "none.parquet")
    with pytest.raises(InvalidArgument, match="must be .parquet, .safetensors, .npz or .csv"):
        Engine(tmp_path / "features.pt")
    with pytest.raises(InvalidArgument, match="no files were given"):
        Engine([])
    with pytest.raises(ValueError, match="there is no batch size"):
        Engine(columns).batch(0)
    with pytest.raises(InvalidArgument, match="batch_size 0: a whole number from 1"):
        Engine(columns, batch_size=0)
    with pytest.raises(InvalidArgument, match="mode \"sideways\": independent, stratified or distinct"):
        Engine(columns, mode="sideways")
    with pytest.raises(InvalidArgument, match="epoch_draws is 1001, but the dataset has 1000 examples"):
        Engine(columns, mode="distinct", epoch_draws=1001)
    with pytest.raises(InvalidArgument, match="rank 3 of world size 3"):
        Engine(columns, batch_size=8).batch(0, rank=3, world_size=3)


def test_a_stratified_epoch_of_the_uniform_sampler_is_a_shuffle(columns: dict[str, np.ndarray]) -> None:
    engine = Engine(columns, batch_size=50, mode="stratified")
    assert engine.epoch_draws == 1000
    epochs = [np.concatenate([b.indices for b in engine.batches(20 * epoch, 20 * epoch + 20)]) for epoch in range(3)]
    assert all((np.sort(epoch) == np.arange(1000)).all() for epoch in epochs)
    assert (epochs[0] != epochs[1]).any()


def test_a_swap_leaves_what_was_before_it(columns: dict[str, np.ndarray]) -> None:
    engine = Engine(columns, SWIFT, batch_size=64, seed=9)
    before = list(engine.batches(0, 30))
    assert engine.activate_at(20, WEIGHTS) == 2
    assert engine.log == [(0, 1), (20, 2)]
    after = list(engine.batches(0, 30))
    assert_equal(after[:20], before[:20])
    assert [batch.version for batch in after[20:]] == [2] * 10
    assert all((a.indices != b.indices).any() for a, b in zip(after[20:], before[20:], strict=True))
    with pytest.raises(InvalidArgument, match="steps before 20 are decided"):
        engine.activate_at(19, SWIFT)
    assert engine.spec == {"kind": "column", "column": "grad_norm"}
    assert engine.first_step(1) == 16


def draw(engine: Engine, steps: range) -> list[Batch]:
    return [engine.batch(step) for step in steps]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_draw_the_same_batches(columns: dict[str, np.ndarray], method: str) -> None:
    engine = Engine(columns, SWIFT, batch_size=64)
    engine.activate_at(5, WEIGHTS)
    with multiprocessing.get_context(method).Pool(2) as pool:
        parts = [pool.apply_async(draw, (engine, range(part, 10, 2))) for part in range(2)]
        drawn = [part.get(CHILD_MAX_SECONDS) for part in parts]
    assert_equal(sorted(drawn[0] + drawn[1], key=lambda batch: batch.step), draw(engine, range(10)))


def test_other_threads_run_while_a_large_batch_is_drawn(columns: dict[str, np.ndarray]) -> None:
    engine = Engine(columns, SWIFT, batch_size=1 << 24)
    drawing: list[bool] = []
    drawn: list[Batch] = []

    def draw_one() -> None:
        drawing.append(True)
        drawn.append(engine.batch(0))

    thread = threading.Thread(target=draw_one)
    thread.start()
    counted = 0
    while not drawn:
        # Were the interpreter's lock held, this would not turn between the two.
        counted += len(drawing)
    thread.join()
    assert counted > 1000 and len(drawn[0]) == 1 << 24


@pytest.mark.parametrize("mode", ["independent", "stratified", "distinct"])
def test_a_batch_sampler_takes_an_engine_or_a_client(
    client: Client, dataset: str, columns: dict[str, np.ndarray], mode: Mode
) -> None:
    version = client.put_sampler(dataset, SWIFT).version
    client.activate(dataset, version)
    engine = Engine(columns, SWIFT)
    job = {"batch_size": 64, "seed": 7, "epoch_draws": 900, "mode": mode, "rank": 1, "world_size": 3}
    ours, theirs = (BatchSampler(source, "j", dataset, **job) for source in (engine, client))
    assert len(ours) == len(theirs) == 15
    for epoch in range(3):
        assert list(ours) == list(theirs), epoch
    # What was trained without a daemon goes on with one, and the other way round.
    assert ours.state_dict() == theirs.state_dict()
    theirs.load_state_dict({**ours.state_dict(), "next_step": 100})
    ours.load_state_dict(theirs.state_dict())
    assert list(ours) == list(theirs)


def test_a_loader_needs_no_server(columns: dict[str, np.ndarray]) -> None:
    engine = Engine(columns, SWIFT)
    batches = BatchSampler(engine, "j", "d", batch_size=64, mode="stratified")
    loader = DataLoader(np.arange(1000), batch_sampler=batches, num_workers=2)
    expected = engine.with_sampler(SWIFT)
    for epoch in range(2):
        batches.set_epoch(epoch)
        first, end = engine.first_step(epoch, batch_size=64), engine.first_step(epoch + 1, batch_size=64)
        steps = BatchSampler(expected, "j", "d", batch_size=64, mode="stratified")
        steps.set_epoch(epoch)
        assert len(steps) == end - first
        assert [batch.tolist() for batch in loader] == list(steps)
        # The next epoch follows another sampler.
        for each in (engine, expected):
            each.activate_at(end, WEIGHTS)
    assert engine.log == [(0, 1), (16, 2), (32, 3)]
    with pytest.raises(ValueError, match="follow is 'epoch'.*Engine.activate_at"):
        len(BatchSampler(engine, "j", "d", batch_size=64, follow="epoch"))


def test_a_state_is_of_one_mode_and_epoch_length(columns: dict[str, np.ndarray]) -> None:
    batches = BatchSampler(Engine(columns), "j", "d", batch_size=64, mode="stratified")
    state = batches.state_dict()
    for other, name in (({"mode": "independent"}, "mode"), ({"mode": "stratified", "epoch_draws": 640}, "epoch_draws")):
        with pytest.raises(ValueError, match=f"the state's {name} is"):
            BatchSampler(Engine(columns), "j", "d", batch_size=64, **other).load_state_dict(state)
    # States of the version before did not name them.
    batches.load_state_dict({"next_step": 3, **{k: v for k, v in state.items() if k not in ("mode", "epoch_draws", "next_step")}})
    assert batches.next_step == 3


def test_the_example_needs_no_server() -> None:
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    uniform, noise, weighted, swap = done.stdout.splitlines()
    share = [float(line.split(": ")[1].split("%")[0]) for line in (uniform, weighted)]
    assert share[1] > share[0] + 2, done.stdout
    assert noise.startswith("wrong labels: 35% of the examples, ")
    assert swap == "from step 375 on, version 2: [(0, 1), (375, 2)]"
