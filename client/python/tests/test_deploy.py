"""The templates under deploy/: valid, and what they start runs trials and gives them back."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from conftest import BINARIES, ROOT, STOP_MAX_SECONDS, searched_again

from swift_sampler import Client, NotFound, Trial

DEPLOY = ROOT / "deploy"
MANIFESTS = ["workers.yaml", "gpu-workers.yaml"]
KUBERNETES = "1.31"
SCRIPT = DEPLOY / "slurm" / "workers.sbatch"
WAIT_MAX_SECONDS = 120
SCONTROL = """#!/bin/sh
echo "$@" >>"$(dirname "$0")/requeued"
"""


def manifest(name: str) -> dict[str, Any]:
    (document,) = yaml.safe_load_all((DEPLOY / "kubernetes" / name).read_text())
    return document


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_MAX_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def prepared(client: Client, folder: Path) -> None:
    """Leaves study s with trial 0 pending, which would take hours, and the work folder as a search leaves it."""

    def first() -> list[Trial]:
        try:
            return [trial for trial in client.trials("s") if trial.state != "pending"]
        except NotFound:
            return []

    command = [BINARIES / "searcher", "--target", "simulated", "--study", "s", "--epochs", "1000000", "--jobs", "1"]
    command += ["--daemon", client.address, "--work-dir", folder]
    policy = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(first)
    policy.terminate()
    policy.wait(STOP_MAX_SECONDS)
    assert client.trials("s")[0].state == "pending"


@pytest.mark.parametrize("name", MANIFESTS)
def test_kubernetes_manifests_are_valid_and_run_without_privileges(name: str) -> None:
    job = manifest(name)
    kubernetes_validate.validate(job, KUBERNETES, strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and not pod["automountServiceAccountToken"]
    assert pod["restartPolicy"] == "Never" and "completions" not in job["spec"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert ("nvidia.com/gpu" in container["resources"]["limits"]) == name.startswith("gpu")


def test_what_kubernetes_starts_gives_its_trial_back_on_sigterm(client: Client, tmp_path: Path) -> None:
    prepared(client, tmp_path)
    job = manifest("workers.yaml")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    given = {variable["name"]: variable.get("value", "pod-1") for variable in container["env"]}
    given |= {"STUDY": "s", "SWIFTSAMPLER_DAEMON": client.address}
    # Kubernetes replaces $(NAME) by itself.
    command = [re.sub(r"\$\((\w+)\)", lambda found: given[found[1]], argument) for argument in container["command"]]
    command = [argument.replace("=/work", f"={tmp_path}") for argument in command]
    pod = subprocess.Popen(command, env={**os.environ, **given, "PATH": f"{BINARIES}:{os.environ['PATH']}"}, stderr=subprocess.DEVNULL)
    eventually(lambda: client.trials("s")[0].worker == "pod-1")
    pod.terminate()
    assert pod.wait(STOP_MAX_SECONDS) == 1, "a Job whose worker was stopped has not succeeded"
    assert (client.trials("s")[0].state, client.trials("s")[0].reason) == ("pending", 'worker "pod-1" was told to stop')


class Turn:
    """One turn of the batch script, as Slurm starts it."""

    def __init__(self, client: Client, folder: Path) -> None:
        self.tools = folder / "tools"
        self.tools.mkdir(exist_ok=True)
        (self.tools / "scontrol").write_text(SCONTROL)
        (self.tools / "scontrol").chmod(0o755)
        environment = {
            **os.environ,
            "PATH": f"{self.tools}:{BINARIES}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "8",
            "SLURM_ARRAY_JOB_ID": "7",
            "SLURM_ARRAY_TASK_ID": "1",
            "SWIFTSAMPLER_DAEMON": client.address,
            "STUDY": "s",
            "WORK_DIR": str(folder),
        }
        self.process = subprocess.Popen(["bash", SCRIPT], env=environment, stderr=subprocess.DEVNULL)

    def ended(self) -> tuple[int, list[str]]:
        """Returns the exit code, and what was put back into the queue."""
        code = self.process.wait(WAIT_MAX_SECONDS)
        requeued = self.tools / "requeued"
        return code, requeued.read_text().splitlines() if requeued.exists() else []


def test_the_slurm_script_is_sound_and_asks_for_what_it_needs(tmp_path: Path) -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    subprocess.run([Path(sys.executable).parent / "shellcheck", SCRIPT], check=True)
    without = subprocess.run(["bash", SCRIPT], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert without.returncode != 0 and "SWIFTSAMPLER_DAEMON: the address of samplerd" in without.stderr


def test_a_slurm_task_runs_trials_until_the_study_ends(client: Client, tmp_path: Path) -> None:
    local = searched_again(client, "s", tmp_path)
    turn = Turn(client, tmp_path)
    eventually(lambda: all(trial.objective is not None for trial in client.trials("s")))
    client.end_study("s")
    assert turn.ended() == (0, [])
    by_slurm = [(trial.worker, trial.objective) for trial in client.trials("s")]
    assert by_slurm == [("slurm-7_1", trial.objective) for trial in local], "as the search's own worker"


@pytest.mark.parametrize(("number", "requeued"), [(signal.SIGUSR1, ["requeue 7_1"]), (signal.SIGTERM, [])])
def test_a_slurm_task_whose_time_is_up_gives_its_trial_back(client: Client, tmp_path: Path, number: signal.Signals, requeued: list[str]) -> None:
    prepared(client, tmp_path)
    turn = Turn(client, tmp_path)
    eventually(lambda: client.trials("s")[0].worker == "slurm-7_1")
    turn.process.send_signal(number)
    assert turn.ended() == (1, requeued)
    assert (client.trials("s")[0].state, client.trials("s")[0].reason) == ("pending", 'worker "slurm-7_1" was told to stop')
