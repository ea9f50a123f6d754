"""Runs a study's trials on a Ray cluster: ``python -m swift_sampler.ray --study S --daemon ADDRESS --workers N …``.

Each worker is a Ray task that leases trials from the daemon until the study ends. Ray only chooses the machine: a task
whose node is lost is started again elsewhere, and its trial goes to whichever worker asks when its lease has run out.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from swift_sampler.client import ADDRESS_DEFAULT, Client
from swift_sampler.running_trial import RunningTrial
from swift_sampler.worker import worker

COMMAND_END_SECONDS = 10.0
"""How long a command may take to end once its task is cancelled."""
CRASHES_MAX = 8
"""Crashes in a row after which a command is given up: more than the attempts at two bad trials."""
SOUND_LIFE_SECONDS = 60.0
"""A command that ran this long has not crashed in a row with the last."""
RESTART_PAUSE_SECONDS = 0.5
"""Pause before a command is started again."""


def _fresh(name: str) -> str:
    """Returns a name that no earlier process had. Under its old one, a successor would get the trial that its predecessor died
    of back as the same attempt, again and again."""
    return f"{name}-{uuid.uuid4().hex[:8]}"


def run_function(study: str, daemon: str, name: str, named: str, lease: float, hang_timeout: float | None) -> int:
    """Runs a function for one trial after another; a Ray task.

    Args:
        study: The study.
        daemon: The daemon's address.
        name: What the worker's name begins with.
        named: ``module:function``.
        lease: See ``worker``.
        hang_timeout: See ``worker``.
    """
    return worker(study, _function(named), daemon=daemon, name=_fresh(name), lease=lease, hang_timeout=hang_timeout)


def run_command(study: str, daemon: str, name: str, command: Sequence[str]) -> int:
    """Runs a command that is a worker itself, ``searcher worker …``, until the study has ended; a Ray task.

    Returns how often it had to be started again. It finds study and daemon in SWIFTSAMPLER_STUDY and SWIFTSAMPLER_DAEMON, and
    its name, a new one for each start, in SWIFTSAMPLER_WORKER. ``{study}``, ``{daemon}`` and ``{worker}`` in an argument stand for these.
    """
    client = Client(daemon)
    restarts = crashes = 0
    while True:
        started = time.monotonic()
        own = _fresh(name)
        filled = [argument.format(study=study, daemon=daemon, worker=own) for argument in command]
        environment = {**os.environ, "SWIFTSAMPLER_STUDY": study, "SWIFTSAMPLER_DAEMON": daemon, "SWIFTSAMPLER_WORKER": own}
        code = _ended(subprocess.Popen(filled, env=environment))
        if client.study(study).ended:
            return restarts
        restarts += 1
        crashes = 0 if code == 0 or time.monotonic() - started > SOUND_LIFE_SECONDS else crashes + 1
        if crashes == CRASHES_MAX:
            raise RuntimeError(f"{filled[0]} ended {crashes} times in a row while study {study!r} goes on, at last with code {code}")
        time.sleep(RESTART_PAUSE_SECONDS)


def _ended(child: subprocess.Popen[bytes]) -> int:
    """Waits for a child, and returns its exit code; ends it where the wait is broken off."""
    try:
        return child.wait()
    except BaseException:
        # SIGTERM gives the trial back.
        child.terminate()
        try:
            child.wait(COMMAND_END_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
        raise


def launch(
    study: str,
    *,
    daemon: str,
    workers: int,
    function: str | None = None,
    command: Sequence[str] = (),
    gpus_per_trial: float = 0.0,
    cpus_per_trial: float = 1.0,
    lease: float = 30.0,
    hang_timeout: float | None = None,
) -> list[int]:
    """Starts workers on the cluster that ``ray`` is connected to, waits until the study ends, and returns what each came to.

    Args:
        study: The study.
        daemon: The daemon's address, as the cluster's machines reach it.
        workers: Trials at once.
        function: ``module:function``, importable on the cluster's machines: called with a ``RunningTrial``.
        command: Or a program that is a worker: ``["searcher", "worker", "--study", "{study}", …]``.
        gpus_per_trial: GPUs that Ray gives to each worker, in ``CUDA_VISIBLE_DEVICES``.
        cpus_per_trial: Cores that Ray reserves for each worker.
        lease: How long a worker that is not heard of keeps its trial, in seconds.
        hang_timeout: Gives up a trial that neither reports nor takes a batch for so long, in seconds; None: never.
    """
    import ray

    if (function is None) == (not command):
        raise ValueError("give either a function or a command")
    # A task that raised has a program in error, which starting it again would not mend; one whose node is lost is not lost.
    remote: Any = ray.remote(num_cpus=cpus_per_trial, num_gpus=gpus_per_trial, max_retries=-1)
    launch_id = uuid.uuid4().hex[:8]
    names = [f"ray-{launch_id}-{number}" for number in range(workers)]
    if function is None:
        task = remote(run_command)
        running = [task.remote(study, daemon, name, list(command)) for name in names]
    else:
        task = remote(run_function)
        running = [task.remote(study, daemon, name, function, lease, hang_timeout) for name in names]
    done: list[int] = ray.get(running)
    return done


def _function(named: str) -> Callable[[RunningTrial], float | None]:
    module, _, name = named.partition(":")
    if not name:
        raise ValueError(f"--function {named}: give module:function")
    function: Callable[[RunningTrial], float | None] = getattr(importlib.import_module(module), name)
    return function


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m swift_sampler.ray",
        description="Runs a study's trials on a Ray cluster until the study ends.",
        usage="%(prog)s --study S [options] (--function MODULE:FUNCTION | -- COMMAND …)",
    )
    parser.add_argument("--study", required=True, help="the study")
    parser.add_argument(
        "--daemon",
        default=os.environ.get("SWIFTSAMPLER_DAEMON") or ADDRESS_DEFAULT,
        help="the daemon's address, as the cluster's machines reach it",
    )
    parser.add_argument("--workers", type=int, required=True, help="trials at once")
    parser.add_argument("--gpus-per-trial", type=float, default=0.0, help="GPUs a worker [default: 0]")
    parser.add_argument("--cpus-per-trial", "--num-cpus-per-trial", type=float, default=1.0, help="cores a worker [default: 1]")
    parser.add_argument("--lease", type=float, default=30.0, help="seconds after which a lost worker's trial goes to another")
    parser.add_argument("--hang-timeout", type=float, help="seconds without a report or a batch after which a trial is given up")
    parser.add_argument("--address", help="the Ray cluster [default: RAY_ADDRESS, else one on this machine]")
    parser.add_argument("--function", help="MODULE:FUNCTION that is called with a RunningTrial")
    parser.add_argument("command", nargs="*", help="a worker: searcher worker --study {study} --daemon {daemon} --name {worker} …")
    given = parser.parse_args(arguments)
    if given.workers < 1:
        parser.error(f"--workers {given.workers}: at least 1")
    if (given.function is None) == (not given.command):
        parser.error("give either --function MODULE:FUNCTION or -- COMMAND …")
    return given


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    """Runs the command line, and returns the exit code."""
    given = _arguments(arguments)
    import ray

    ray.init(address=given.address, include_dashboard=None if given.address else False)
    launch(
        given.study,
        daemon=given.daemon,
        workers=given.workers,
        function=given.function,
        command=given.command,
        gpus_per_trial=given.gpus_per_trial,
        cpus_per_trial=given.cpus_per_trial,
        lease=given.lease,
        hang_timeout=given.hang_timeout,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
