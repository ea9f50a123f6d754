"""The stubs: what type checkers see is what there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "python"

RIGHT = """
import numpy as np
import numpy.typing as npt
import swift_sampler
from swift_sampler import features, trial
from swift_sampler.grain import DrawSampler
from swift_sampler.torch import BatchSampler

client = swift_sampler.Client("127.0.0.1:7431", retry_deadline=1.0)
job = client.open_job("train", "d", batch_size=8, follow=3)
horizon: int = job.horizon
for batch in client.batches("train", 0, 10, rank=1, world_size=2):
    indices: npt.NDArray[np.uint32 | np.uint64] = batch.indices
version: int = client.put_sampler("d", {"kind": "uniform"}).version
engine = swift_sampler.Engine({"loss": [1.0, 2.0]}, features=["loss"])
p: npt.NDArray[np.float64] = engine.probabilities
losses: npt.NDArray[np.float64] = features.loss([[0.0, 1.0]], [1])
lists: list[list[int]] = list(BatchSampler(client, "train", "d", batch_size=8))
arrays: list[npt.NDArray[np.int64]] = list(BatchSampler(client, "train", "d", batch_size=8, indices="numpy"))
revision: int = client.refresh_features("d", {"loss": [1.0, 2.0]}).features_revision
refreshed: int = engine.refresh_at(5, {"loss": [1.0, 2.0]})
weighted = BatchSampler(client, "train", "d", batch_size=8, weights=True)
block: list[swift_sampler.Batch] = client.get_batches("train", 5, 2, rank=1, world_size=2)
draws = swift_sampler.Draws(client, "train", epochs=2)
row: int = draws[5]
rows: npt.NDArray[np.uint32 | np.uint64] = draws[5:10]
numbers: list[int] = list(draws)
records = DrawSampler(draws)
study: swift_sampler.Study = client.create_study("s", "d", {"seed": 0})
lease = client.ask("s", "w")
if lease is not None:
    told: swift_sampler.Trial = lease.tell("objective", 0.5, "")


def train(t: trial.RunningTrial) -> float:
    sampler: BatchSampler = t.batch_sampler()
    return 0.5 if t.report(1, 0.5) else 0.0


ran: int = trial.worker("s", train, daemon=client, trials_max=1)
try:
    client.datasets()
except swift_sampler.NotFound as error:
    parent: swift_sampler.Error = error
"""

WRONG = {
    "client.open_job('train', 'd')": "batch_size",
    "client.open_job('train', 'd', batch_size=8, mode='sideways')": "mode",
    "client.batches('train').step": "step",
    "swift_sampler.Draws('train')": "Client",
    "torch.BatchSampler(client, 'train', 'd', batch_size=8, indices='tuple')": "indices",
    "text: str = client.datasets()[0].rows": "str",
    "client.tell('s', 0, 1, 'w', objective='good')": "objective",
}


def mypy(path: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(path.parent / "cache"), *arguments, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_a_right_program_passes_and_wrong_ones_are_told(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(RIGHT)
    code, output = mypy(program)
    assert code == 0, output
    program.write_text("import swift_sampler\nfrom swift_sampler import torch\nclient = swift_sampler.Client()\n" + "\n".join(WRONG))
    code, output = mypy(program)
    assert code == 1
    errors = [line for line in output.splitlines() if ": error: " in line]
    for error, word in zip(errors, WRONG.values(), strict=True):
        assert word in error, output


def test_the_package_itself_is_typed(tmp_path: Path) -> None:
    code, output = mypy(PACKAGE / "swift_sampler", "--cache-dir", str(tmp_path))
    assert code == 0, output


@pytest.mark.parametrize("module", ["swift_sampler._native"])
def test_the_stub_matches_the_native_module(module: str) -> None:
    command = [sys.executable, "-m", "mypy.stubtest", module, "--ignore-missing-stub", "--ignore-disjoint-bases"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
