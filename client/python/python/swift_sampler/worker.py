"""A worker: leases trials of a study and runs a function for each, in this process."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from swift_sampler import _native
from swift_sampler.client import Client, StudyEnded
from swift_sampler.running_trial import Attempt, RunningTrial, TrialLost

LOG = logging.getLogger(__name__)

STDERR_LINES = 5
"""How much of a failed command's standard error becomes the reason."""


def worker(
    study: str,
    function: Callable[[RunningTrial], float | None],
    *,
    daemon: Client | str | None = None,
    name: str | None = None,
    trials_max: int | None = None,
    lease: float = 30.0,
    hang_timeout: float | None = None,
    work_dir: str = "",
) -> int:
    """Runs a function for one trial after another until the study ends, and returns for how many.

    The function tells the trial's objective, returns it, or leaves it to be the accuracy it reported last. An exception
    fails the attempt, not the worker. Ctrl-C and SIGTERM give the trial back at once and end the worker; a worker that
    vanishes loses its trial to another when its lease runs out.

    Args:
        study: The study, of ``searcher`` or with a config that says ``{"training": {"batch_size": …, "epochs": …}}``.
        function: What is run.
        daemon: A client, or the daemon's address; ``None``: as ``Client()`` finds it.
        name: The worker's name, unique among those of the study; default: of host and process. One that comes back
            under its name gets its unfinished trial at once.
        trials_max: Ends after so many trials; None: with the study.
        lease: How long a worker that is not heard of keeps its trial, in seconds.
        hang_timeout: Gives up a trial that neither reports nor takes a batch for so long, in seconds; None: never.
        work_dir: Folder of the study on this machine, told to the function.
    """
    client = daemon if isinstance(daemon, Client) else Client(daemon)
    name = name or f"{socket.gethostname()}-{os.getpid()}"
    described = client.study(study)
    done = 0
    with _terminated_by_exception():
        while trials_max is None or done < trials_max:
            try:
                leased = client.ask(study, name, lease=lease, hang_timeout=hang_timeout)
            except StudyEnded:
                break
            if leased is not None:
                _run(client, described, leased, function, work_dir)
                done += 1
    return done


def command(*arguments: str) -> Callable[[RunningTrial], None]:
    """Returns a function for ``worker`` that runs a program for a trial, as ``searcher --trial-command`` does.

    The program finds its trial in the environment (``trial.current()``). It tells by itself, or prints
    ``{"objective": 0.83}`` or ``{"infeasible": "reason"}`` as the last line of standard output that is a JSON object.
    """

    def run(trial: RunningTrial) -> None:
        environment = {**os.environ, **trial.environment()}
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode != 0:
            last = " | ".join(done.stderr.strip().splitlines()[-STDERR_LINES:])
            ended = f"was killed by signal {-done.returncode}" if done.returncode < 0 else f"ended with exit code {done.returncode}"
            raise RuntimeError(f"{arguments[0]} {ended}: {last}")
        stored = trial.client.trials(trial.study)[trial.number]
        if stored.state in ("succeeded", "infeasible"):
            trial.told = True
            return
        score = _last_object(done.stdout)
        if "objective" in score:
            trial.tell(float(score["objective"]))
        elif "infeasible" in score:
            trial.infeasible(str(score["infeasible"]))
        else:
            raise RuntimeError(f'{arguments[0]} told no score: print {{"objective": …}} as its last line, or call trial.tell')

    return run


def _last_object(text: str) -> dict[str, Any]:
    for line in reversed(text.splitlines()):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            return value
    return {}


class _Held:
    """Speaks for a trial that this process has leased."""

    def __init__(self, lease: _native.TrialLease) -> None:
        self.lease = lease

    def report(self, report: dict[str, Any]) -> bool:
        return self.lease.report(json.dumps(report))

    def tell(self, kind: str, told: float | str, report: dict[str, Any]) -> object:
        return self.lease.tell(kind, told, json.dumps(report))

    def note_progress(self) -> None:
        self.lease.note_progress()


def _run(
    client: Client,
    study: _native.Study,
    lease: _native.TrialLease,
    function: Callable[[RunningTrial], float | None],
    work_dir: str,
) -> None:
    stored = lease.trial
    parameters = stored.parameters
    if parameters.get("refused"):
        lease.tell("infeasible", parameters["refused"], "")
        return
    try:
        attempt = _attempt(study, stored, parameters, work_dir)
        _open_job(client, attempt)
    except (KeyError, ValueError, _native.Error) as error:
        lease.tell("failed", f"the trial cannot be set up: {type(error).__name__}: {error}", "")
        LOG.warning("trial %d cannot be set up: %s", stored.number, error)
        return
    trial = RunningTrial(attempt, client, _Held(lease))
    try:
        with trial:
            objective = function(trial)
            if objective is not None and not trial.told:
                trial.tell(objective)
    except TrialLost as lost:
        LOG.warning("%s", lost)
        return
    except Exception:
        LOG.exception("trial %d failed", stored.number)
        return
    try:
        client.remove_job(attempt.job)
    except _native.Error as error:
        LOG.debug("job %s stays: %s", attempt.job, error)


def _attempt(study: _native.Study, stored: _native.Trial, parameters: dict[str, Any], work_dir: str) -> Attempt:
    training = (study.config or {}).get("training", {})
    if "batch_size" not in training or "epochs" not in training:
        raise ValueError(f'the config of study {study.name!r} has no {{"training": {{"batch_size": …, "epochs": …}}}}')
    purpose = parameters.get("purpose", "search")
    retraining = purpose == "retrain"
    return Attempt(
        study=stored.study,
        number=stored.number,
        attempt=stored.attempt,
        worker=stored.worker,
        dataset=study.dataset,
        job=f"{stored.study}/trial-{stored.number}",
        sampler_version=stored.sampler_version,
        seed=parameters.get("seed", 0),
        epochs=parameters.get("epochs") or training["retrain_epochs" if retraining else "epochs"],
        batch_size=training["batch_size"],
        mode=parameters.get("mode") or "independent",
        purpose=purpose,
        start=parameters.get("start") or ("scratch" if retraining else training.get("start", "scratch")),
        work_dir=work_dir,
        stop_below=tuple(parameters.get("stop_below") or ()),
    )


def _open_job(client: Client, attempt: Attempt) -> None:
    """Opens the trial's job, with the parameters that any other worker would give it."""
    client.open_job(
        attempt.job,
        attempt.dataset,
        batch_size=attempt.batch_size,
        seed=_native.seed_for(attempt.seed, 0, "draws"),
        mode=attempt.mode,  # type: ignore[arg-type] # as the policy says; the daemon refuses others
        follow=attempt.sampler_version,
    )


@contextmanager
def _terminated_by_exception() -> Iterator[None]:
    """Makes SIGTERM an exception, where it would end the process on the spot and leave the trial to its lease."""
    usual = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not usual:
        yield
        return

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
