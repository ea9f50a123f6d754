"""A trial while it runs: what it is to train, on which batches, and how it is told."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Protocol

from swift_sampler import _native
from swift_sampler.client import Client
from swift_sampler.torch import BatchSampler, IndexKind

Purpose = Literal["baseline", "initial", "search", "confirm", "retrain"]
"""Why a trial is run: under the uniform sampler, at a starting point, proposed by the surrogate, as one of the best once
more, or in full length from scratch."""

Start = Literal["scratch", "last", "best"]
"""The weights that a trial starts from: new ones, or those of the start network after its last or its best epoch."""


NO_OBJECTIVE = "there is no objective to tell: report an epoch's accuracy, or tell an objective"


class TrialLost(_native.Error):
    """The trial is another worker's by now, or its study has ended: there is nothing left to do."""


class Line(Protocol):
    """How a running trial speaks to the daemon."""

    def report(self, report: dict[str, Any]) -> bool:
        """Records progress, and tells whether to go on."""

    def tell(self, kind: str, told: float | str, report: dict[str, Any]) -> object:
        """Tells how the attempt ended."""

    def note_progress(self) -> None:
        """Notes that the trial does not hang."""


@dataclass(frozen=True)
class Attempt:
    """Which attempt at which trial this is, and what it is to train."""

    study: str
    number: int
    attempt: int
    worker: str
    dataset: str
    job: str
    """Name of the job whose batches it trains on."""
    sampler_version: int
    seed: int
    """Seeds the training; the batches have a seed of their own, in the job."""
    epochs: int
    batch_size: int
    mode: str
    """How draws of one epoch relate to each other."""
    purpose: Purpose
    start: Start
    work_dir: str
    """Folder of the study on this machine; empty: none."""
    stop_below: tuple[float, ...]
    """Least accuracies after epoch 1, 2, …, below which the trial ends."""


class RunningTrial:
    """An attempt at a trial; a context that tells how it ended.

    Left by an exception, the attempt has failed, with the exception as the reason, and the trial is tried again while it
    has attempts. Left without having told, the objective is the accuracy that was reported last.
    """

    def __init__(self, attempt: Attempt, client: Client, line: Line) -> None:
        """Takes what is run and how the daemon is spoken to; ``trial.current()`` and ``trial.worker()`` make it.

        Args:
            attempt: What is run.
            client: The client that batches come through.
            line: How progress and outcome are told.
        """
        self.attempt = attempt
        self.client = client
        self.told = False
        self._line = line
        self._epochs: list[dict[str, Any]] = []
        self._stopped = False
        self._job: _native.Job | None = None
        self._started = self._epoch_started = time.monotonic()
        self._waited = 0.0

    def __repr__(self) -> str:
        return f"RunningTrial({self.study!r}, {self.number}, attempt={self.attempt.attempt}, purpose={self.purpose!r})"

    @property
    def study(self) -> str:
        """The study."""
        return self.attempt.study

    @property
    def number(self) -> int:
        """The trial's number in the study."""
        return self.attempt.number

    @property
    def seed(self) -> int:
        """Seeds the training: equal seeds are to give equal results."""
        return self.attempt.seed

    @property
    def epochs(self) -> int:
        """Epochs to train for, unless ``report`` says to stop."""
        return self.attempt.epochs

    @property
    def batch_size(self) -> int:
        """Examples a batch."""
        return self.attempt.batch_size

    @property
    def purpose(self) -> Purpose:
        """Why it is run."""
        return self.attempt.purpose

    @property
    def start(self) -> Start:
        """The weights to start from."""
        return self.attempt.start

    @property
    def job(self) -> _native.Job:
        """The job whose batches it trains on, under its candidate sampler alone."""
        if self._job is None:
            self._job = self.client.job(self.attempt.job)
        return self._job

    # Batches

    def batch_sampler(self, *, rank: int | None = None, world_size: int | None = None, indices: IndexKind = "list") -> BatchSampler:
        """Returns what ``DataLoader(batch_sampler=…)`` takes: each iteration is one epoch's batches.

        Args:
            rank: This process's share, where several train together.
            world_size: Number of shares.
            indices: What a batch's indices are; see ``swift_sampler.torch.BatchSampler``.
        """
        job = self.job
        return BatchSampler(
            self.client,
            job.name,
            job.dataset,
            batch_size=job.batch_size,
            seed=job.seed,
            rank=rank,
            world_size=world_size,
            epoch_draws=job.epoch_draws,
            mode=job.mode,  # type: ignore[arg-type] # one of the modes, as the daemon told it
            follow=job.follow,  # type: ignore[arg-type] # a version
            indices=indices,
        )

    def batches(self, epoch: int, *, probabilities: bool = False) -> Iterator[_native.Batch]:
        """Iterates over one epoch's batches, without torch.

        Args:
            epoch: From 1.
            probabilities: Whether the probability of each draw is wanted.
        """
        if epoch < 1:
            raise ValueError(f"epoch {epoch}: the epochs of a trial are numbered from 1")
        job = self.job
        first, end = (-(-e * job.epoch_draws // job.batch_size) for e in (epoch - 1, epoch))
        batches = self.client.batches(job.name, first, end, seek=True, probabilities=probabilities)
        while True:
            asked = time.monotonic()
            batch = next(batches, None)
            self._waited += time.monotonic() - asked
            if batch is None:
                return
            self._line.note_progress()
            yield batch

    # Telling

    def report(self, epoch: int, accuracy: float, loss: float | None = None) -> bool:
        """Records an epoch, and tells whether to go on: False when the trial is to end here, with what it has.

        A trial whose accuracy is hopeless ends early; one whose numbers are not finite is infeasible.

        Args:
            epoch: From 1, one after the other.
            accuracy: Share of the validation set that is classified correctly: the objective, once it ends.
            loss: Mean training loss of the epoch.

        Raises:
            TrialLost: Another worker has the trial, or the study has ended.
        """
        if epoch != len(self._epochs) + 1:
            raise ValueError(f"epoch {epoch} is reported after {len(self._epochs)}: report each epoch once, in order, from 1")
        if self.told:
            raise RuntimeError("the trial has been told already: report before that")
        for name, value in (("training loss", loss), ("validation accuracy", accuracy)):
            if value is not None and not math.isfinite(value):
                self.infeasible(f"the {name} of epoch {epoch} is {value}")
                return False
        now = time.monotonic()
        self._epochs.append(
            {
                "epoch": epoch,
                "training_loss": None if loss is None else float(loss),
                "validation_accuracy": float(accuracy),
                "seconds": now - self._epoch_started,
            }
        )
        self._epoch_started = now
        below = self.attempt.stop_below
        self._stopped = epoch < self.epochs and epoch <= len(below) and accuracy < below[epoch - 1]
        if not self._line.report(self._report()):
            self.told = True
            raise TrialLost(f"trial {self.number} of study {self.study!r} is another worker's by now, or the study has ended")
        return not self._stopped

    def tell(self, objective: float | None = None) -> None:
        """Tells the objective, to be maximised; by default the accuracy that was reported last."""
        if objective is None:
            if not self._epochs:
                raise RuntimeError(NO_OBJECTIVE)
            objective = self._epochs[-1]["validation_accuracy"]
        self._tell("objective", float(objective))

    def infeasible(self, reason: str) -> None:
        """Tells that there cannot be an objective, and why; the trial is not tried again."""
        self._tell("infeasible", reason)

    def failed(self, reason: str) -> None:
        """Tells that the attempt failed, and why; the trial is tried again while it has attempts."""
        self._tell("failed", reason)

    def release(self, reason: str) -> None:
        """Gives the trial back: another worker has it at once, and the attempt does not count."""
        self._tell("released", reason)

    def _tell(self, kind: str, told: float | str) -> None:
        if self.told:
            return
        self.told = True
        try:
            self._line.tell(kind, told, self._report())
        except _native.FailedPrecondition as error:
            raise TrialLost(str(error)) from error

    def _report(self) -> dict[str, Any]:
        seconds = time.monotonic() - self._started
        report: dict[str, Any] = {"epochs": self._epochs, "seconds": seconds}
        if self._waited:
            report["waited_seconds"] = min(self._waited, seconds)
        if self._stopped:
            report["stopped"] = True
        return report

    def __enter__(self) -> RunningTrial:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            if self.told:
                return
            if not self._epochs:
                self.failed(f"RuntimeError: {NO_OBJECTIVE}")
                raise RuntimeError(NO_OBJECTIVE)
            self.tell()
        elif not isinstance(error, TrialLost):
            if isinstance(error, Exception):
                self.failed(f"{type(error).__name__}: {error}")
            else:
                # Ctrl-C, or SIGTERM made an exception.
                self.release(f"worker {self.attempt.worker!r} was told to stop: {type(error).__name__}")

    def environment(self) -> Mapping[str, str]:
        """Returns the variables that make ``trial.current()`` of a child process this trial."""
        attempt = self.attempt
        return {
            "SWIFTSAMPLER_DAEMON": self.client.address,
            "SWIFTSAMPLER_STUDY": attempt.study,
            "SWIFTSAMPLER_TRIAL": str(attempt.number),
            "SWIFTSAMPLER_ATTEMPT": str(attempt.attempt),
            "SWIFTSAMPLER_WORKER": attempt.worker,
            "SWIFTSAMPLER_DATASET": attempt.dataset,
            "SWIFTSAMPLER_JOB": attempt.job,
            "SWIFTSAMPLER_SAMPLER_VERSION": str(attempt.sampler_version),
            "SWIFTSAMPLER_SEED": str(attempt.seed),
            "SWIFTSAMPLER_EPOCHS": str(attempt.epochs),
            "SWIFTSAMPLER_BATCH_SIZE": str(attempt.batch_size),
            "SWIFTSAMPLER_MODE": attempt.mode,
            "SWIFTSAMPLER_PURPOSE": attempt.purpose,
            "SWIFTSAMPLER_START": attempt.start,
            "SWIFTSAMPLER_WORK_DIR": attempt.work_dir,
            "SWIFTSAMPLER_STOP_BELOW": ",".join(str(least) for least in attempt.stop_below),
        }
