"""Trials on a real Ray cluster, of this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray_functions
from conftest import BINARIES, first_line, searched_again

from swift_sampler import Client, Trial
from swift_sampler.ray import run_command
from swift_sampler.trial import worker

# Whatever Ray starts has started within this, busy machine or not.
WAIT_MAX_SECONDS = 240
CLUSTER = """
import sys, ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
print(ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
"""
# A cluster that a program starts for itself has a token that its other processes would need.
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled"}
TRAINING = {"batch_size": 50, "epochs": 2, "retrain_epochs": 2, "start": "last"}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a cluster of two cores, of a process of its own: Ray's threads stay out of what other tests fork."""
    program = [sys.executable, "-c", CLUSTER]
    with subprocess.Popen(program, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield first_line(running, WAIT_MAX_SECONDS).strip()
        running.communicate(timeout=WAIT_MAX_SECONDS)


@pytest.fixture(scope="module")
def client(shared_address: str) -> Client:
    return Client(shared_address)


def study_of(client: Client, name: str, trials: int) -> str:
    client.create_study(name, "d", {"training": TRAINING})
    for number in range(trials):
        client.add_trial(name, number, {"purpose": "search", "seed": number}, 1)
    return name


def launched(client: Client, cluster: str, study: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "swift_sampler.ray", "--address", cluster, "--study", study, "--daemon", client.address]
    command += ["--workers", "2", *arguments]
    return subprocess.Popen(command, cwd=Path(__file__).parent, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)


def ended_by_ray(client: Client, study: str, launcher: subprocess.Popen[str]) -> list[Trial]:
    """Waits until every trial has ended, ends the study, and returns its trials."""
    deadline = time.monotonic() + WAIT_MAX_SECONDS
    while any(trial.state in ("pending", "running") for trial in client.trials(study)):
        assert launcher.poll() is None, launcher.communicate()[1]
        assert time.monotonic() < deadline, client.trials(study)
        time.sleep(0.05)
    client.end_study(study)
    errors = launcher.communicate(timeout=WAIT_MAX_SECONDS)[1]
    assert launcher.returncode == 0, errors
    return client.trials(study)


def test_a_function_scores_as_in_this_process(client: Client, cluster: str) -> None:
    here, there = study_of(client, "here", 4), study_of(client, "there", 4)
    worker(here, ray_functions.score, daemon=client, trials_max=4)
    launcher = launched(client, cluster, there, "--function", "ray_functions:score")
    by_ray = ended_by_ray(client, there, launcher)
    assert [trial.objective for trial in by_ray] == [trial.objective for trial in client.trials(here)]
    assert len({trial.objective for trial in by_ray}) == 4, "the seeds tell the trials apart"
    assert all(trial.worker.startswith("ray-") and trial.attempt == 1 for trial in by_ray)


def test_searchers_workers_score_as_without_ray(client: Client, cluster: str, tmp_path: Path) -> None:
    ended = searched_again(client, "rayed", tmp_path)
    command = [str(BINARIES / "searcher"), "worker", "--study", "{study}", "--daemon", "{daemon}", "--name", "{worker}"]
    launcher = launched(client, cluster, "rayed", "--", *command, "--work-dir", str(tmp_path))
    by_ray = ended_by_ray(client, "rayed", launcher)
    assert [trial.objective for trial in by_ray] == [trial.objective for trial in ended]
    assert {trial.worker[:4] for trial in by_ray} == {"ray-"}


def test_a_lost_worker_loses_no_trial(client: Client, cluster: str) -> None:
    study = study_of(client, f"lost-{os.getpid()}", 3)
    pid_file = ray_functions.pid_file(study)
    launcher = launched(client, cluster, study, "--function", "ray_functions:hang_once", "--lease", "1")
    deadline = time.monotonic() + WAIT_MAX_SECONDS
    while not pid_file.exists():
        assert launcher.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    pid_file.unlink()
    trials = ended_by_ray(client, study, launcher)
    assert [trial.state for trial in trials] == ["succeeded"] * 3
    assert (trials[0].attempt, [trial.attempt for trial in trials[1:]]) == (2, [1, 1])


def test_a_command_that_keeps_crashing_is_told(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of(client, "crashing", 1)
    monkeypatch.setattr("swift_sampler.ray.RESTART_PAUSE_SECONDS", 0.0)
    with pytest.raises(RuntimeError, match="sh ended 8 times in a row while study 'crashing' goes on, at last with code 3"):
        script = "case {worker} in w-*) test $SWIFTSAMPLER_STUDY = crashing && test $SWIFTSAMPLER_WORKER = {worker} && exit 3;; esac"
        run_command(study, client.address, "w", ["sh", "-c", script])
