"""A program of one's own as a trial of a study.

A script that a runner starts (``searcher --trial-command 'python train.py'``) finds its trial with ``current()``; a function
is run for one trial after another by ``worker()``, in this process, which is also what ``python -m swift_sampler.ray`` does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from swift_sampler._native import FailedPrecondition, NotFound
from swift_sampler.client import Client
from swift_sampler.running_trial import Attempt, RunningTrial, TrialLost
from swift_sampler.worker import command, worker

__all__ = ["Attempt", "RunningTrial", "TrialLost", "command", "current", "worker"]

PREFIX = "SWIFTSAMPLER_"


def current(environment: Mapping[str, str] = os.environ) -> RunningTrial:
    """Returns the trial that this process was started for.

    Its lease is kept by whoever started the process, so a script that hangs does not keep the trial for ever.

    Args:
        environment: Where the variables are; default: the process's.

    Raises:
        RuntimeError: The process was not started for a trial.
    """

    def text(name: str) -> str:
        value = environment.get(PREFIX + name)
        if value is None:
            raise RuntimeError(
                f"{PREFIX}{name} is not set: this process was not started for a trial. Start it by "
                "searcher --trial-command 'python train.py', or run a function by swift_sampler.trial.worker"
            )
        return value

    def number(name: str) -> int:
        try:
            return int(text(name))
        except ValueError:
            raise RuntimeError(f"{PREFIX}{name} is {text(name)!r}: it must be a whole number") from None

    least = environment.get(PREFIX + "STOP_BELOW", "")
    try:
        stop_below = tuple(float(accuracy) for accuracy in least.split(",") if accuracy)
    except ValueError:
        raise RuntimeError(f"{PREFIX}STOP_BELOW is {least!r}: it must be numbers separated by commas") from None
    attempt = Attempt(
        study=text("STUDY"),
        number=number("TRIAL"),
        attempt=number("ATTEMPT"),
        worker=text("WORKER"),
        dataset=text("DATASET"),
        job=text("JOB"),
        sampler_version=number("SAMPLER_VERSION"),
        seed=number("SEED"),
        epochs=number("EPOCHS"),
        batch_size=number("BATCH_SIZE"),
        mode=text("MODE"),
        purpose=text("PURPOSE"),  # type: ignore[arg-type] # as the runner says
        start=text("START"),  # type: ignore[arg-type] # as the runner says
        work_dir=environment.get(PREFIX + "WORK_DIR", ""),
        stop_below=stop_below,
    )
    client = Client(text("DAEMON"))
    return RunningTrial(attempt, client, _Call(client, attempt))


class _Call:
    """Speaks for a trial that another process has leased."""

    def __init__(self, client: Client, attempt: Attempt) -> None:
        self.client = client
        self.names: tuple[Any, ...] = (attempt.study, attempt.number, attempt.attempt, attempt.worker)

    def report(self, report: dict[str, Any]) -> bool:
        try:
            return not self.client.heartbeat(*self.names, report=report)
        except (FailedPrecondition, NotFound):
            return False

    def tell(self, kind: str, told: float | str, report: dict[str, Any]) -> object:
        return self.client.tell(*self.names, report=report, **{kind: told})  # type: ignore[arg-type] # by kind

    def note_progress(self) -> None:
        """Whoever started the process sees its batches come."""
