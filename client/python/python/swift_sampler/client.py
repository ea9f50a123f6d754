"""The client of samplerd."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Union

from swift_sampler import _native
from swift_sampler.selection import SelectedCrops, columns
from swift_sampler.source import Source
from swift_sampler.spec import Spec, spec_json

ADDRESS_DEFAULT = "127.0.0.1:7431"
"""Where samplerd listens by default."""

Mode = Literal["independent", "stratified", "distinct"]
"""How draws of one epoch relate to each other: with replacement, each example as often as its probability says, or
at most once."""

Follow = Union[Literal["step", "epoch"], int]
"""When a job takes up a newly activated sampler: at the next step, at the next epoch, or never (a version)."""


class StudyEnded(_native.Error):
    """A study has ended: no trial will come any more."""


class Client:
    """A client of samplerd.

    Connects when first used, once a process: it may be inherited by forked processes and pickled to spawned ones.
    While the daemon cannot be reached, calls and streams are tried again until ``retry_deadline``; a stream then
    continues with the step after the last one delivered. A daemon that this process has not reached yet is given up
    sooner, after ``first_contact_deadline``: the address may be wrong. Raise it where clients may start before samplerd.

    What the daemon or the network refuses raises a child of ``swift_sampler.Error``. Waiting releases the interpreter lock and ends on Ctrl-C.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        connect_timeout: float = 5.0,
        request_timeout: float = 60.0,
        stall_timeout: float = 5.0,
        retry_deadline: float | None = 60.0,
        first_contact_deadline: float = 2.0,
        connections: int = 4,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        tls_ca: str | os.PathLike[str] | None = None,
        tls_cert: str | os.PathLike[str] | None = None,
        tls_key: str | os.PathLike[str] | None = None,
        insecure: bool | None = None,
    ) -> None:
        """Takes where the daemon is; does not connect.

        Args:
            address: ``HOST:PORT``, ``https://HOST:PORT`` for one with TLS, or ``unix:PATH`` for a daemon on this machine that was given ``--listen-unix PATH``;
                several replicas' separated by commas. A name with several DNS records stands for as many replicas.
                Default: the environment variable ``SWIFTSAMPLER_DAEMON``, else ``127.0.0.1:7431``.
            connect_timeout: Longest wait for one connection, in seconds.
            request_timeout: Longest wait for the answer to one call, in seconds.
            stall_timeout: The same while another replica can be asked instead.
            retry_deadline: How long an unreachable daemon is tried again, once it has been reached, in seconds; None:
                without end.
            first_contact_deadline: How long it is tried before that, in each process, in seconds; no longer than
                ``retry_deadline``.
            connections: Most connections to one replica, 1 to 255; made when needed.
            token: The token that calls show. It travels with the client when that is pickled; prefer ``token_file``.
            token_file: A file that holds it, read again while the client is used.
            tls_ca: Authorities (PEM) that the daemon's certificate may be of; default: those that this machine trusts.
            tls_cert: This client's certificate (PEM), where the daemon asks for one.
            tls_key: Its private key (PEM).
            insecure: Sends the token even where others on the network can read it.

        What is not given of the last six comes from the environment: ``SWIFTSAMPLER_TOKEN``, ``SWIFTSAMPLER_TOKEN_FILE``,
        ``SWIFTSAMPLER_TLS_CA``, ``SWIFTSAMPLER_TLS_CERT``, ``SWIFTSAMPLER_TLS_KEY`` and ``SWIFTSAMPLER_INSECURE=1``.
        """
        self.address: str = address or os.environ.get("SWIFTSAMPLER_DAEMON") or ADDRESS_DEFAULT
        waits = (connect_timeout, request_timeout, stall_timeout, retry_deadline, first_contact_deadline)
        files = (_path(token_file), _path(tls_ca), _path(tls_cert), _path(tls_key))
        access = (token, *files, insecure)
        self._settings = (*waits, connections, *access)
        self._connection: _native.Connection | None = None
        self._process = 0

    def __repr__(self) -> str:
        return f"Client({self.address!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "_settings": self._settings, "_connection": None, "_process": 0}

    def _here(self) -> _native.Connection:
        """Returns this process's connection."""
        process = os.getpid()
        if self._connection is None or self._process != process:
            self._connection = _native.Connection(self.address, *self._settings)
            self._process = process
        return self._connection

    # Jobs and batches

    def open_job(
        self,
        name: str,
        dataset: str,
        *,
        batch_size: int,
        seed: int = 0,
        epoch_draws: int | None = None,
        mode: Mode = "independent",
        follow: Follow = "step",
    ) -> _native.Job:
        """Opens a job, creating it if it is new. An open job keeps its parameters; others raise ``AlreadyExists``.

        Args:
            name: 1 to 128 characters of ``[A-Za-z0-9._/-]``.
            dataset: The dataset to draw from.
            batch_size: Global batch size, over all ranks.
            seed: Seed of every draw.
            epoch_draws: Draws of an epoch; default: as many as the dataset has rows.
            mode: How draws of one epoch relate to each other.
            follow: When a newly activated sampler is taken up.
        """
        return self._here().open_job(
            name, dataset, seed=seed, batch_size=batch_size, epoch_draws=epoch_draws, mode=mode, follow=follow
        )

    def batches(
        self,
        job: str,
        from_step: int = 0,
        to_step: int | None = None,
        *,
        rank: int = 0,
        world_size: int = 1,
        seek: bool = False,
        probabilities: bool = True,
        crops: bool = True,
    ) -> _native.Batches:
        """Iterates over the batches ``[from_step, to_step)`` of one rank, each step once; without end by default.

        A batch's ``indices`` are a uint32 array (uint64 where the dataset's end beyond 2**32), its ``probabilities`` a
        float32 array: read-only views of what was received, without a copy, which keep alive the memory that many batches
        were received into; copy what is kept for long. An iterator belongs to the process that made it.

        Args:
            job: An open job.
            from_step: First step.
            to_step: Step to stop before.
            rank: Which share of each global batch.
            world_size: Into how many shares each is divided.
            seek: Allows a first step far beyond what the job has served.
            probabilities: Whether the probability of each draw is wanted.
            crops: Whether the crop that each draw is is wanted, where the dataset is a crop bank.
        """
        return self._here().batches(
            job,
            from_step,
            to_step,
            rank=rank,
            world_size=world_size,
            seek=seek,
            probabilities=probabilities,
            crops=crops,
        )

    def get_batches(
        self,
        job: str,
        from_step: int,
        steps: int = 1,
        *,
        rank: int = 0,
        world_size: int = 1,
        seek: bool = False,
        probabilities: bool = True,
        crops: bool = True,
    ) -> list[_native.Batch]:
        """Returns a few consecutive batches of one rank in one answer, in the same time at any step.

        Args:
            job: An open job.
            from_step: First step.
            steps: How many, 1 to 4096, and at most 4,194,304 draws in all.
            rank: Which share of each global batch.
            world_size: Into how many shares each is divided.
            seek: Allows a first step far beyond what the job has served.
            probabilities: Whether the probability of each draw is wanted.
            crops: Whether the crop that each draw is is wanted, where the dataset is a crop bank.
        """
        return self._here().get_batches(
            job,
            from_step,
            steps,
            rank=rank,
            world_size=world_size,
            seek=seek,
            probabilities=probabilities,
            crops=crops,
        )

    def select_crops(
        self,
        features: Mapping[str, Any],
        keep: int,
        *,
        step: int,
        job: str | None = None,
        dataset: str | None = None,
        version: int | None = None,
        seed: int = 0,
        rank: int = 0,
        fill: bool = False,
        seek: bool = False,
    ) -> SelectedCrops:
        """Selects some of the crops proposed for a step, without replacement, by the weights that a sampler's stored tables
        give their features. The same request has the same answer, whichever replica gives it.

        Args:
            features: Raw features by name, arrays or tensors of a value a crop: those that the sampler combines, and any
                others; at most 65,536 crops.
            keep: How many are to be kept.
            step: Global step.
            job: An open job: its dataset, its seed, and the version that it follows at the step, the same for all ranks.
            dataset: Instead of a job: the dataset whose sampler weighs them.
            version: With a dataset: the version; default: the active one.
            seed: With a dataset: the seed.
            rank: Who proposes: ranks select independently among crops of their own.
            fill: Takes crops of weight 0 where fewer have a positive one, instead of raising ``FailedPrecondition``.
            seek: Allows a step far beyond what the job has served.
        """
        if (job is None) == (dataset is None):
            raise ValueError("a job or a dataset says which sampler weighs the crops: give one of them")
        version_, positions, weights = self._here().select_crops(
            columns(features), keep, step, job or "", dataset or "", version, seed, rank, fill, seek
        )
        return SelectedCrops(version_, positions, weights)

    def jobs(self) -> list[_native.Job]:
        """Lists the jobs."""
        return self._here().jobs()

    def job(self, name: str) -> _native.Job:
        """Returns a job."""
        return self._here().job(name)

    def remove_job(self, name: str) -> None:
        """Removes a job."""
        self._here().remove_job(name)

    # Datasets

    def import_dataset(
        self,
        name: str,
        *files: str | os.PathLike[str],
        features: Sequence[str] = (),
        gradient_norm: str | None = None,
        format: Literal["parquet", "safetensors", "npz", "csv"] | None = None,
        first_row: int = 0,
        on_missing: Literal["reject", "impute"] = "reject",
        progress: Callable[[int, int], object] | None = None,
    ) -> _native.Dataset:
        """Imports feature columns; row i is example ``first_row + i``. Importing the same content again changes nothing.

        Args:
            name: 1 to 128 characters of ``[A-Za-z0-9._-]``.
            files: Parquet, safetensors, npz or CSV files, whose rows follow each other.
            features: Columns that samplers combine; default: loss and entropy.
            gradient_norm: Column of gradient norms; default: grad_norm where there is one.
            format: The files' format; default: as their extensions say.
            first_row: Index of the first example, where the files are a shard of more rows; indices are uint64 where they
                go beyond 2**32.
            on_missing: What becomes of missing values, NaN and infinities: ``"reject"`` refuses the files, naming the first;
                ``"impute"`` puts the median of the column in their place, and ``imputed`` of the result says of how many.
            progress: Called with bytes sent and bytes in all, from another thread.
        """
        paths = [os.fspath(file) for file in files]
        return self._here().import_dataset(
            name,
            paths,
            features=list(features),
            gradient_norm=gradient_norm,
            format=format,
            first_row=first_row,
            on_missing=on_missing,
            progress=progress,
        )

    def refresh_features(self, dataset: str, values: Source, *, first_row: int | None = None) -> _native.Dataset:
        """Replaces values of features under running jobs: what the network that is trained makes of the examples by now.

        The values become a revision of the features, and the active sampler over them a new active version. Jobs take it up
        at their next open step, all ranks at the same one; what is decided stays what it is, and a replay or a resumed job
        repeats it, as old values are kept while a job needs them. ``rollback`` goes back to version and values before.

        Args:
            dataset: Its name.
            values: Arrays or tensors by column, or files; row i is example i. Columns left out keep their values.
            first_row: Example of the first value, where there are values of only some examples; default: of all.

        Returns:
            The dataset, with the new ``active_version`` and ``features_revision``.

        Raises:
            InvalidArgument: There is not a value for every example, a column is none of the dataset's, or a value is not
                finite; the message names column and row. The present values keep serving.
        """
        if isinstance(values, Mapping):
            return self._here().refresh_features(dataset, columns(values), [], first_row)
        files = [values] if isinstance(values, (str, os.PathLike)) else values
        if not files:
            raise ValueError("no files: name at least one, or give columns")
        return self._here().refresh_features(dataset, [], [os.fspath(file) for file in files], first_row)

    def datasets(self) -> list[_native.Dataset]:
        """Lists the datasets."""
        return self._here().datasets()

    def dataset(self, name: str) -> _native.Dataset:
        """Returns a dataset."""
        return self._here().dataset(name)

    def remove_dataset(self, name: str) -> None:
        """Removes a dataset and its samplers; ``FailedPrecondition`` while a job reads it."""
        self._here().remove_dataset(name)

    # Samplers

    def put_sampler(self, dataset: str, spec: Spec) -> _native.Sampler:
        """Stores a sampler as a new version, without activating it."""
        return self._here().put_sampler(dataset, spec_json(spec))

    def samplers(self, dataset: str, *, candidates: bool = False) -> list[_native.Sampler]:
        """Lists a dataset's versions, ascending; the candidates of studies only on request."""
        return self._here().samplers(dataset, candidates)

    def sampler(self, dataset: str, version: int) -> _native.Sampler:
        """Returns a version."""
        return self._here().sampler(dataset, version)

    def activate(self, dataset: str, version: int) -> _native.ActiveSampler:
        """Makes a version the active one; running jobs take it up at their horizon, without a pause."""
        return self._here().activate(dataset, version)

    def rollback(self, dataset: str) -> _native.ActiveSampler:
        """Activates the version that was active before."""
        return self._here().rollback(dataset)

    # Studies: what a policy (`searcher`) and its workers do; `swift_sampler.trial` is made of it

    def create_study(self, name: str, dataset: str, config: Any, *, attempts_max: int = 3) -> _native.Study:
        """Creates a study, or returns the one there is if its config is equal.

        Args:
            name: 1 to 128 characters of ``[A-Za-z0-9._-]``.
            dataset: The dataset whose samplers are searched.
            config: The policy's, anything that JSON can hold. ``searcher`` refuses studies whose config is not its own.
            attempts_max: Attempts that a trial has, 1 to 100.
        """
        return self._here().studies().create(name, dataset, _json(config), attempts_max)

    def study(self, name: str) -> _native.Study:
        """Returns a study."""
        return self._here().studies().get(name)

    def studies(self) -> list[_native.Study]:
        """Lists the studies."""
        return self._here().studies().list()

    def end_study(self, name: str, result: Any = None) -> _native.Study:
        """Ends a study: workers stop, and its candidates are collected, but for those that were activated.

        Args:
            name: The study.
            result: The policy's, anything that JSON can hold; None: none.
        """
        return self._here().studies().end(name, "" if result is None else _json(result))

    def remove_study(self, name: str) -> None:
        """Removes a study and its trials; ``FailedPrecondition`` while one is running."""
        self._here().studies().remove(name)

    def add_trial(self, study: str, number: int, parameters: Any, sampler_version: int) -> _native.Trial:
        """Adds a study's next trial, or returns the one there is if its content is equal.

        ``Aborted``: another policy added this number with other content; list the trials and propose again.

        Args:
            study: The study.
            number: The number of trials so far.
            parameters: The policy's, anything that JSON can hold.
            sampler_version: The sampler that the trial trains under.
        """
        return self._here().studies().add_trial(study, number, _json(parameters), sampler_version)

    def trials(self, study: str) -> list[_native.Trial]:
        """Lists a study's trials, in order of number."""
        return self._here().studies().trials(study)

    def ask(
        self,
        study: str,
        worker: str,
        *,
        lease: float = 30.0,
        wait_max: float = 2.0,
        hang_timeout: float | None = None,
    ) -> _native.TrialLease | None:
        """Leases a trial and keeps the lease in the background until it is told; None: there is none to be had now.

        A worker that asks again while it holds a trial gets the same one back. A worker that vanishes loses its trial to
        another when the lease runs out. Raises ``StudyEnded`` when no trial will come any more.

        Args:
            study: The study.
            worker: The worker's name, unique among those of the study; 1 to 128 characters.
            lease: How long a worker that is not heard of keeps its trial, in seconds, 1 to 3600.
            wait_max: How long to wait for a trial, in seconds, at most 30; below ``stall_timeout`` where there are replicas.
            hang_timeout: Gives the trial up when this long has passed, in seconds, since the last ``note_progress`` or
                ``report``; None: never.
        """
        leased = self._here().studies().lease(study, worker, lease, wait_max, hang_timeout)
        if isinstance(leased, bool):
            if leased:
                raise StudyEnded(f"study {study!r} has ended: no trial will come any more")
            return None
        return leased

    def heartbeat(
        self, study: str, number: int, attempt: int, worker: str, *, lease: float = 30.0, report: Any = None
    ) -> bool:
        """Extends the lease of an attempt that another process leased, and records progress; True: the study has ended.

        ``FailedPrecondition``: the attempt no longer holds the lease, the worker stops.
        """
        json_text = "" if report is None else _json(report)
        return self._here().studies().heartbeat(study, number, attempt, worker, lease, json_text)

    def tell(
        self,
        study: str,
        number: int,
        attempt: int,
        worker: str,
        *,
        objective: float | None = None,
        infeasible: str | None = None,
        failed: str | None = None,
        released: str | None = None,
        report: Any = None,
    ) -> _native.Trial:
        """Tells how an attempt ended, exactly one way: the first telling of an attempt stands.

        Args:
            study: The study.
            number: The trial.
            attempt: The attempt that was leased.
            worker: Who leased it.
            objective: What is maximised; not finite: infeasible.
            infeasible: Why it cannot have an objective; it is not tried again.
            failed: Why the attempt failed; the trial is tried again while it has attempts.
            released: Why it is given back: it is to be had at once, and the attempt does not count.
            report: Final metrics, anything that JSON can hold; None: the last report stays.
        """
        ways = {"objective": objective, "infeasible": infeasible, "failed": failed, "released": released}
        given = [(kind, told) for kind, told in ways.items() if told is not None]
        if len(given) != 1:
            raise ValueError(f"an attempt ends in one way: give one of {', '.join(ways)}")
        kind, told = given[0]
        json_text = "" if report is None else _json(report)
        return self._here().studies().tell(study, number, attempt, worker, kind, told, json_text)

    def stats(self) -> _native.Stats:
        """Returns the daemon's counters since it started."""
        return self._here().stats()


def _json(value: Any) -> str:
    """JSON as the daemon takes it: without NaN and infinities, which are none."""
    return json.dumps(value, allow_nan=False)


def _path(file: str | os.PathLike[str] | None) -> str | None:
    return None if file is None else os.fspath(file)
