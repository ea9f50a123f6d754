"""A daemon of the test's own, and columns to import."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import swift_sampler

ROOT = Path(__file__).resolve().parents[3]
BINARIES = Path(os.environ.get("SWIFTSAMPLER_BIN_DIR", ROOT / "target" / "debug"))
# A child's first line comes within this.
START_MAX_SECONDS = 60
# A daemon that is gone is to be told within this.
STOP_MAX_SECONDS = 30
# A sampler that weighs examples by two features.
SWIFT = {
    "kind": "swift",
    "features": ["loss", "entropy"],
    "coefficients": [0.6, -0.8],
    "knots": [0.2, 0.5, 0.9],
    "values": [0.1, 1.0, 0.6, 0.3, 0.0],
}


def first_line(child: subprocess.Popen[str], wait_max_seconds: float = START_MAX_SECONDS) -> str:
    """Returns the first line a child prints; an empty one, and no child, when none comes in time."""
    assert child.stdout is not None
    if not select.select([child.stdout], [], [], wait_max_seconds)[0]:
        child.kill()
    return child.stdout.readline()


class Samplerd:
    """A running samplerd."""

    def __init__(self, folder: Path, flags: list[str] | None = None) -> None:
        self.folder = folder
        self.address = "127.0.0.1:0"
        self.flags: list[str] = flags or []
        self.start()

    def start(self) -> None:
        """Starts the daemon, after the first time at the address it had."""
        binary = BINARIES / "samplerd"
        assert binary.exists(), f"{binary} is not built: run `cargo build`, or set SWIFTSAMPLER_BIN_DIR"
        command = [binary, "--data-dir", self.folder / "data", "--listen", self.address, "--http", "127.0.0.1:0"]
        command += self.flags
        self.log = (self.folder / "log").open("a")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = first_line(self.process)
        assert line, (self.folder / "log").read_text()
        self.address = json.loads(line)["grpc"]

    def kill(self) -> None:
        """Kills the daemon as `kill -9` does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_MAX_SECONDS)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()


@pytest.fixture
def samplerd(tmp_path: Path) -> Iterator[Samplerd]:
    folder = tmp_path / "samplerd"
    folder.mkdir()
    daemon = Samplerd(folder)
    yield daemon
    daemon.kill()


@pytest.fixture
def client(samplerd: Samplerd) -> swift_sampler.Client:
    return swift_sampler.Client(samplerd.address)


def random_columns(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Columns as a network's: ties, a skewed loss, a heavy-tailed gradient norm."""
    generator = np.random.default_rng(seed)
    return {
        "loss": generator.exponential(size=rows).round(3),
        "entropy": generator.uniform(0, 2.2, rows).round(4),
        "grad_norm": np.exp(generator.normal(size=rows)),
    }


def write_parquet(path: Path, columns: dict[str, np.ndarray]) -> Path:
    """Writes columns with pyarrow, compressed, in several row groups."""
    pq.write_table(pa.table(columns), path, row_group_size=max(1, len(columns["loss"]) // 3))
    return path


@pytest.fixture
def columns() -> dict[str, np.ndarray]:
    return random_columns(1000, seed=1)


@pytest.fixture
def dataset(client: swift_sampler.Client, columns: dict[str, np.ndarray], tmp_path: Path) -> str:
    """A dataset of 1000 rows named d, uniform sampler active."""
    client.import_dataset("d", write_parquet(tmp_path / "features.parquet", columns))
    return "d"


@pytest.fixture(scope="module")
def shared_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a daemon that a module's tests share, with the 1000 rows of `SHARED_COLUMNS` as dataset d.

    For tests that neither kill it nor change the dataset; each opens jobs of its own, see `job`.
    """
    folder = tmp_path_factory.mktemp("samplerd")
    daemon = Samplerd(folder)
    swift_sampler.Client(daemon.address).import_dataset("d", write_parquet(folder / "features.parquet", SHARED_COLUMNS))
    yield daemon.address
    daemon.kill()


SHARED_COLUMNS = random_columns(1000, seed=1)


@pytest.fixture
def job(request: pytest.FixtureRequest) -> str:
    """A job name of the test's own."""
    return re.sub(r"[^A-Za-z0-9._/-]", "_", request.node.name)[:128]


def searched_again(client: swift_sampler.Client, name: str, work_dir: Path) -> list[swift_sampler.Trial]:
    """Runs a small search, closed formula for a network, and adds its trials to a new study; returns how they ended."""
    search = [BINARIES / "searcher", "--target", "simulated", "--train-examples", "1000", "--study", "local", "--trials", "5", "--epochs", "2"]
    search += ["--confirm", "1", "--finalists", "0", "--jobs", "1", "--daemon", client.address, "--work-dir", work_dir]
    subprocess.run(search, check=True, stdout=subprocess.DEVNULL)
    local, ended = client.study("local"), client.trials("local")
    client.create_study(name, local.dataset, local.config)
    for trial in ended:
        version = client.put_sampler(local.dataset, trial.parameters["sampler"]).version
        client.add_trial(name, trial.number, trial.parameters, version)
    return ended
