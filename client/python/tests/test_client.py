"""What Client promises: streams that survive, errors by cause, values that can be passed on."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import SWIFT, Samplerd, first_line, random_columns, write_parquet

import swift_sampler
from swift_sampler import Client

# A child that was forked or interrupted is gone within this.
CHILD_MAX_SECONDS = 60


def test_a_dataset_is_imported_listed_and_removed(client: Client, tmp_path: Path) -> None:
    columns = random_columns(100, seed=3)
    np.savez(tmp_path / "features.npz", **columns)
    sent = []
    client.import_dataset("a", tmp_path / "features.npz", progress=lambda done, total: sent.append((done, total)))
    size = (tmp_path / "features.npz").stat().st_size
    assert sent[-1] == (size, size)
    dataset = client.dataset("a")
    assert (dataset.rows, dataset.features, dataset.gradient_norm) == (100, ["loss", "entropy"], "grad_norm")
    assert [dataset.name for dataset in client.datasets()] == ["a"]
    client.remove_dataset("a")
    assert client.datasets() == []


def test_a_shard_has_indices_of_its_own_beyond_32_bits(client: Client, tmp_path: Path) -> None:
    first_row = 5_000_000_000
    columns = random_columns(100, seed=3)
    np.savez(tmp_path / "features.npz", **columns)
    client.import_dataset("shard", tmp_path / "features.npz", first_row=first_row)
    client.import_dataset("whole", tmp_path / "features.npz")
    assert client.dataset("shard").first_row == first_row
    assert client.dataset("shard").hash != client.dataset("whole").hash
    drawn = {}
    for name in ("shard", "whole"):
        client.open_job(name, name, seed=1, batch_size=50, mode="stratified")
        drawn[name] = next(iter(client.batches(name, 0, 1))).indices
        assert np.array_equal(client.get_batches(name, 0)[0].indices, drawn[name])
    assert (drawn["shard"].dtype, drawn["whole"].dtype) == (np.uint64, np.uint32)
    assert np.array_equal(drawn["shard"], drawn["whole"] + np.uint64(first_row))
    with pytest.raises(swift_sampler.InvalidArgument, match="first_row"):
        client.import_dataset("negative", tmp_path / "features.npz", first_row=-1)


def test_samplers_are_put_activated_and_rolled_back(client: Client, dataset: str) -> None:
    sampler = client.put_sampler(dataset, SWIFT)
    assert sampler.version == 2 and not sampler.active
    assert sampler.spec["features"] == ["loss", "entropy"]
    assert 100 < sampler.effective_sample_size < 1000
    assert sampler.total_variation == 0.0
    assert client.activate(dataset, 2).previous_version == 1
    assert [sampler.active for sampler in client.samplers(dataset)] == [False, True]
    assert client.rollback(dataset).version == 1
    assert client.put_sampler(dataset, '{"kind":"column","column":"loss"}').version == 3


def test_batches_are_numpy_arrays_that_show_what_was_received(client: Client, dataset: str) -> None:
    client.open_job("j", dataset, batch_size=64, seed=5)
    batches = list(client.batches("j", 0, 40))
    assert [batch.step for batch in batches] == list(range(40))
    assert [batch.epoch for batch in batches] == [step * 64 // 1000 for step in range(40)]
    for batch in batches:
        assert batch.indices.dtype == np.uint32 and batch.probabilities.dtype == np.float32
        assert batch.indices.shape == batch.probabilities.shape == (64,) and len(batch) == 64
        for array in (batch.indices, batch.probabilities):
            assert array.base is batch and array.flags.c_contiguous and array.flags.aligned
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
        assert batch.indices.ctypes.data == batch.indices.ctypes.data, "no copy"
        assert batch.version == 1
    bare = next(client.batches("j", probabilities=False))
    assert bare.probabilities.size == 0
    assert (bare.indices == batches[0].indices).all()


def test_an_array_stays_what_it_was_when_its_batch_and_stream_are_gone(client: Client, dataset: str) -> None:
    client.open_job("j", dataset, batch_size=64, seed=5)
    kept = [(batch.indices, batch.indices.copy()) for batch in client.batches("j", 0, 2000)]
    # Memory that was let go is received into again; that of arrays in use is not.
    list(client.batches("j", 0, 2000))
    assert all((array == copy).all() for array, copy in kept)


@pytest.mark.parametrize("width", [np.uint32, np.uint64])
def test_a_batch_is_made_of_arrays_and_pickled_with_indices_of_either_width(width: type) -> None:
    largest = np.iinfo(width).max
    batch = swift_sampler.Batch(7, 1, 3, np.array([0, largest, 5], width), np.array([0.5, 0.25, 0.125], np.float32))
    for batch in (batch, pickle.loads(pickle.dumps(batch))):
        assert (batch.step, batch.epoch, batch.version, len(batch)) == (7, 1, 3, 3)
        assert batch.indices.dtype == width and batch.indices.tolist() == [0, largest, 5]
        assert batch.probabilities.tolist() == [0.5, 0.25, 0.125]
    assert repr(batch) == "Batch(step=7, epoch=1, version=3, 3 indices)"
    with pytest.raises(TypeError, match="indices"):
        swift_sampler.Batch(7, 1, 3, np.array([1, 2]), np.array([0.5, 0.5], np.float32))  # type: ignore[arg-type]


def test_a_few_batches_come_in_one_answer(client: Client, dataset: str) -> None:
    client.open_job("j", dataset, batch_size=100)
    streamed = list(client.batches("j", 0, 20, rank=1, world_size=3))
    fetched = client.get_batches("j", 5, 10, rank=1, world_size=3)
    assert [batch.step for batch in fetched] == list(range(5, 15))
    for ours, theirs in zip(fetched, streamed[5:], strict=False):
        assert (ours.indices == theirs.indices).all() and (ours.probabilities == theirs.probabilities).all()
    (far,) = client.get_batches("j", 10**9, seek=True, probabilities=False)
    assert far.step == 10**9 and far.probabilities.size == 0
    with pytest.raises(swift_sampler.InvalidArgument):
        client.get_batches("j", 0, 5000)


def test_ranks_share_the_global_batch(client: Client, dataset: str) -> None:
    client.open_job("j", dataset, batch_size=100)
    whole = client.batches("j", 0, 20)
    ranks = [client.batches("j", 0, 20, rank=rank, world_size=7) for rank in range(7)]
    for batch, *shares in zip(whole, *ranks, strict=True):
        assert {len(share) for share in shares} == {14, 15}
        assert (np.concatenate([share.indices for share in shares]) == batch.indices).all()


def test_a_stream_continues_where_it_was_when_the_daemon_comes_back(
    samplerd: Samplerd, client: Client, dataset: str
) -> None:
    client.open_job("j", dataset, batch_size=10)
    batches = client.batches("j", 0, 5000)
    seen = [next(batches) for _ in range(5)]
    samplerd.kill()
    samplerd.start()
    seen.extend(batches)
    assert [batch.step for batch in seen] == list(range(5000))
    again = list(client.batches("j", 0, 5000))
    assert all((ours.indices == theirs.indices).all() for ours, theirs in zip(seen, again, strict=True))


def test_a_swap_is_not_held_up_by_reading_ahead(client: Client, dataset: str) -> None:
    client.open_job("j", dataset, batch_size=10)
    batches = client.batches("j")
    assert next(batches).version == 1
    client.activate(dataset, client.put_sampler(dataset, SWIFT).version)
    # What was read ahead, and the lease of the daemon, come from the old sampler; no more.
    waited = next(batch.step for batch in batches if batch.version == 2)
    assert waited <= 1024


def test_errors_are_told_apart_by_cause(client: Client, dataset: str, tmp_path: Path) -> None:
    client.open_job("j", dataset, batch_size=10)
    causes = {
        swift_sampler.NotFound: [
            lambda: client.dataset("gone"),
            lambda: client.activate(dataset, 99),
            lambda: next(client.batches("gone")),
            lambda: client.open_job("k", "gone", batch_size=1),
        ],
        swift_sampler.AlreadyExists: [lambda: client.open_job("j", dataset, batch_size=10, seed=1)],
        swift_sampler.FailedPrecondition: [
            lambda: client.remove_dataset(dataset),
            lambda: client.rollback(dataset),
            lambda: next(client.batches("j", 10**9)),
        ],
        swift_sampler.InvalidArgument: [
            lambda: client.put_sampler(dataset, {"kind": "sideways"}),
            lambda: client.import_dataset("x", tmp_path / "missing.csv"),
            lambda: client.open_job("k", dataset, batch_size=1, follow="never"),  # type: ignore[arg-type]
            lambda: next(client.batches("j", rank=2, world_size=2)),
            lambda: Client("nowhere").datasets(),
        ],
    }
    for cause, calls in causes.items():
        for call in calls:
            with pytest.raises(cause) as raised:
                call()
            assert isinstance(raised.value, swift_sampler.Error) and str(raised.value)
    assert next(client.batches("j", 10**9, seek=True)).step == 10**9


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("seed -1: a whole number from 0 to 18446744073709551615", lambda c: c.open_job("j", "d", batch_size=1, seed=-1)),
        ("seed 18446744073709551616", lambda c: c.open_job("j", "d", batch_size=1, seed=2**64)),
        ("batch_size -8: a whole number from 1 to 4294967295", lambda c: c.open_job("j", "d", batch_size=-8)),
        ("epoch_draws 0: a whole number from 1", lambda c: c.open_job("j", "d", batch_size=1, epoch_draws=0)),
        ("follow -1", lambda c: c.open_job("j", "d", batch_size=1, follow=-1)),
        ("from_step -1", lambda c: c.batches("j", -1)),
        ("to_step -2", lambda c: c.batches("j", 0, -2)),
        ("rank -1", lambda c: c.batches("j", rank=-1, world_size=2)),
        ("world_size 4294967296", lambda c: c.get_batches("j", 0, world_size=2**32)),
        ("steps 0", lambda c: c.get_batches("j", 0, 0)),
        ("version -1", lambda c: c.activate("d", -1)),
    ],
)
def test_a_number_out_of_range_is_named(name: str, call: Callable[[Client], object]) -> None:
    # Nothing is asked for that: nobody listens there.
    with pytest.raises(swift_sampler.InvalidArgument, match=name):
        call(Client("127.0.0.1:1"))


def test_a_number_of_another_kind_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="seed"):
        Client("127.0.0.1:1").open_job("j", "d", batch_size=1, seed="7")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="follow"):
        Client("127.0.0.1:1").open_job("j", "d", batch_size=1, follow=None)  # type: ignore[arg-type]


def test_a_bad_value_is_named_by_file_column_and_row(client: Client, tmp_path: Path) -> None:
    columns = random_columns(50, seed=2)
    columns["entropy"][17] = np.nan
    with pytest.raises(swift_sampler.InvalidArgument, match=r"nan\.parquet.*entropy.*row 17"):
        client.import_dataset("bad", write_parquet(tmp_path / "nan.parquet", columns))
    assert client.datasets() == []


def test_an_absent_daemon_is_named_by_address() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
    with pytest.raises(swift_sampler.Unavailable, match=f"{address}.*is it running there"):
        Client(address, retry_deadline=0.2).datasets()


def test_a_daemon_that_starts_later_is_waited_for(samplerd: Samplerd) -> None:
    samplerd.kill()
    early = pickle.loads(pickle.dumps(Client(samplerd.address, first_contact_deadline=60)))
    with ThreadPoolExecutor() as threads:
        datasets = threads.submit(early.datasets)
        samplerd.start()
        assert datasets.result(60) == []
    with pytest.raises(swift_sampler.InvalidArgument, match="first_contact_deadline: -1"):
        Client(samplerd.address, first_contact_deadline=-1).datasets()
    with pytest.raises(swift_sampler.InvalidArgument, match="connections: 256 is not from 1 to 255"):
        Client(samplerd.address, connections=256).datasets()


def test_replicas_are_asked_in_turn_and_a_dead_one_is_left_out(samplerd: Samplerd, client: Client) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        dead = f"127.0.0.1:{bound.getsockname()[1]}"
    several = Client(f"{dead}, {samplerd.address}", retry_deadline=None, stall_timeout=1.0, connections=1)
    for _ in range(4):
        assert several.datasets() == client.datasets()


def test_a_unix_socket_serves_what_tcp_does(samplerd: Samplerd, client: Client, dataset: str) -> None:
    client.open_job("j", dataset, batch_size=64, seed=5)
    path = samplerd.folder / "s"
    samplerd.kill()
    samplerd.flags = ["--listen-unix", str(path)]
    samplerd.start()
    for address in [f"unix:{path}", f"unix:{path}.absent, unix:{path}"]:
        for here, there in zip(Client(address).batches("j", 0, 20), client.batches("j", 0, 20), strict=True):
            assert here.step == there.step and (here.indices == there.indices).all()
    with pytest.raises(swift_sampler.InvalidArgument, match="at most 107"):
        Client("unix:/" + 107 * "x").datasets()


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWIFTSAMPLER_DAEMON", "sampler.example:1")
    assert Client().address == "sampler.example:1"
    assert Client("other:2").address == "other:2"
    monkeypatch.delenv("SWIFTSAMPLER_DAEMON")
    assert Client().address == "127.0.0.1:7431"


def test_clients_batches_and_errors_can_be_pickled(client: Client, dataset: str) -> None:
    client.open_job("j", dataset, batch_size=10)
    batch = next(client.batches("j"))
    copy = pickle.loads(pickle.dumps(batch))
    assert copy.step == batch.step and (copy.indices == batch.indices).all()
    assert [dataset.name for dataset in pickle.loads(pickle.dumps(client)).datasets()] == [dataset]
    error = pickle.loads(pickle.dumps(swift_sampler.NotFound("gone")))
    assert isinstance(error, swift_sampler.NotFound) and str(error) == "gone"


def exit_code(child: int) -> int:
    """Waits for a forked child, and kills one that does not end."""
    handle = os.pidfd_open(child)
    if not select.select([handle], [], [], CHILD_MAX_SECONDS)[0]:
        os.kill(child, signal.SIGKILL)
    os.close(handle)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_connects_anew_and_leaves_the_parents_stream_alone(client: Client, dataset: str) -> None:
    client.open_job("j", dataset, batch_size=10)
    batches = client.batches("j", 0, 2000)
    first = next(batches)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            own = next(client.batches("j"))
            refused = False
            try:
                next(batches)
            except swift_sampler.Error:
                refused = True
            code = 0 if refused and (own.indices == first.indices).all() else 2
            del batches
        finally:
            os._exit(code)
    assert exit_code(child) == 0
    assert [batch.step for batch in batches] == list(range(1, 2000))


def test_ctrl_c_ends_a_wait() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        program = (
            "import signal, swift_sampler, sys\n"
            # Started in the background of a shell, a process ignores interrupts until it says otherwise.
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "try:\n"
            "    print('waiting', flush=True)\n"
            f"    swift_sampler.Client('127.0.0.1:{silent.getsockname()[1]}').datasets()\n"
            "except KeyboardInterrupt:\n"
            "    sys.exit(42)\n"
        )
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        silent.settimeout(CHILD_MAX_SECONDS)
        assert first_line(child) == "waiting\n"
        with silent.accept()[0]:  # the child is inside the call
            child.send_signal(signal.SIGINT)
            assert child.wait(CHILD_MAX_SECONDS) == 42
        assert child.stdout is not None
        child.stdout.close()


def test_importing_starts_no_thread() -> None:
    program = "import swift_sampler, swift_sampler.torch, os; print(len(os.listdir('/proc/self/task')))"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert output.stdout.strip() == "1"
