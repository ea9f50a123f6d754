"""The examples for frameworks: each dies twice in one epoch and trains on the job's batches all the same."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import random_columns, write_parquet
from safetensors.torch import load_file

from swift_sampler import Client, Engine

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# The examples' batch size, and a dataset whose epoch is 20 steps.
BATCH_SIZE = 48
ROWS = 960
COLUMNS = random_columns(ROWS, seed=2)
# With a checkpoint every 4 steps: both resumes are inside epoch 0, and the last run goes on into epoch 1.
DIES_AFTER = (6, 14, None)
STEPS = 26
# A program has ended within this, busy machine or not.
PROGRAM_MAX_SECONDS = 240


@pytest.fixture(scope="module")
def address(shared_address: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    features = write_parquet(tmp_path_factory.mktemp("features") / "e.parquet", COLUMNS)
    Client(shared_address).import_dataset("e", features)
    return shared_address


def run(example: str, address: str, folder: Path, die_after: int | None, launcher: tuple[str, ...] = ()) -> None:
    """Runs an example, which must die if it was told to, and end well if not."""
    command = [sys.executable, *launcher, EXAMPLES / example, "--daemon", address, "--dataset", "e", "--job", example]
    command += ["--folder", folder, "--steps", str(STEPS)]
    if die_after is not None:
        command += ["--die-after", str(die_after)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_MAX_SECONDS, check=False)
    assert (done.returncode == 0) == (die_after is None), done.stderr
    if die_after is None:
        assert f"trained {STEPS} steps" in done.stdout, done.stdout


def assert_is_the_jobs_sequence(trained: torch.Tensor) -> None:
    drawn = Engine(COLUMNS).batches(0, STEPS, batch_size=BATCH_SIZE)
    assert trained.tolist() == [batch.indices.tolist() for batch in drawn]


def test_lightning(address: str, tmp_path: Path) -> None:
    for die_after in DIES_AFTER:
        run("lightning_resume.py", address, tmp_path, die_after)
    checkpoint = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert_is_the_jobs_sequence(checkpoint["state_dict"]["trained_rows"])


def test_hugging_face_trainer(address: str, tmp_path: Path) -> None:
    for die_after in DIES_AFTER:
        run("trainer_resume.py", address, tmp_path, die_after)
    assert_is_the_jobs_sequence(load_file(tmp_path / f"checkpoint-{STEPS}" / "model.safetensors")["trained_rows"])


def test_accelerate_with_other_ranks_after_each_death(address: str, tmp_path: Path) -> None:
    for die_after, ranks in zip(DIES_AFTER, (2, 3, 1), strict=True):
        launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)) if ranks > 1 else ()
        run("accelerate_resume.py", address, tmp_path, die_after, launcher)
    assert_is_the_jobs_sequence(load_file(tmp_path / "checkpoint" / "model.safetensors")["trained_rows"])
