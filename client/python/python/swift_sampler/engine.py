"""The daemon's batches, computed in the process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from swift_sampler import _native
from swift_sampler.client import Client, Mode
from swift_sampler.selection import SelectedCrops, columns
from swift_sampler.source import FEATURES_DEFAULT, Source, read
from swift_sampler.spec import Spec, spec_json

VERSION_FIRST = 1
"""The version of the sampler that an engine starts under."""
RECORD_FIELDS = ("seed", "batch_size", "mode", "epoch_draws", "log", "horizon", "dataset_hash")
"""What a batch is a function of, beside the features and the specs."""
DECIDED = 2**64 - 1
"""The horizon of a log that is decided throughout."""

Parameters = tuple[int, int, str, int | None]
"""Seed, batch size, mode and draws of an epoch."""


class Engine:
    """A job without a daemon: a dataset, the job's parameters and its samplers.

    A batch is a pure function of seed, step and sampler, so what an engine draws is, to the last bit, what samplerd
    serves for the same features, specs and parameters. ``activate_at`` swaps the sampler from a step on, ``refresh_at`` the
    features; ``replay`` repeats what a daemon served. May be pickled, with its columns.
    """

    def __init__(
        self,
        source: Source,
        spec: Spec = '{"kind":"uniform"}',
        *,
        features: Sequence[str] = FEATURES_DEFAULT,
        gradient_norm: str | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        epoch_draws: int | None = None,
        mode: Mode = "independent",
    ) -> None:
        """Reads the features and builds the sampler, which is version 1.

        Args:
            source: The features: columns by name, or files as samplerd imports them.
            spec: The sampler.
            features: Columns that samplers combine.
            gradient_norm: Column of gradient norms; default: grad_norm where there is one.
            batch_size: Global batch size, over all ranks; without one it is given with every call.
            seed: Seed of every draw.
            epoch_draws: Draws of an epoch; default: as many as there are examples.
            mode: How draws of one epoch relate to each other.

        Raises:
            InvalidArgument: A file cannot be read, a value is not finite, lengths differ, a column is missing, or the spec
                does not fit.
        """
        self._dataset = read(source, features, gradient_norm)
        self._batch_size = batch_size
        parameters = (seed, 1 if batch_size is None else batch_size, mode, epoch_draws)
        self._refreshed = {}
        self._start(_native.Engine(self._dataset, parameters, *_one_version(spec)))

    _refreshed: dict[int, _native.EngineDataset]
    """What versions weigh examples by that follow a refresh."""

    def _start(self, native: _native.Engine) -> None:
        self._native = native
        # The same samplers under the parameters of the last call that gave others.
        self._other = native

    @classmethod
    def replay(cls, client: Client, job: str, source: Source) -> Engine:
        """Repeats a job of samplerd: below its present horizon every batch is the daemon's, whatever becomes of the daemon.

        Args:
            client: The daemon's client, asked now and not again.
            job: The job.
            source: The features that the job's dataset was imported from. Later revisions of them are fetched.

        Raises:
            InvalidArgument: The features are not those of the job's dataset; the message names both hashes.
            NotFound: There is no such job, or a sampler of its log was collected.
        """
        record = client.job(job)
        dataset = client.dataset(record.dataset)
        versions = [client.sampler(record.dataset, version) for version in {version for _, version in record.log}]
        with TemporaryDirectory() as folder:
            files = {of.features_hash: os.path.join(folder, f"{of.features_hash}.safetensors") for of in versions if of.features_hash}
            for content, file in files.items():
                client._here().fetch_columns(content, file)
            return cls.replay_record(
                record,
                {of.version: of.spec_json for of in versions},
                source,
                refreshed={of.version: (files[of.features_hash], of.features_hash) for of in versions if of.features_hash},
                features=dataset.features,
                gradient_norm=dataset.gradient_norm,
            )

    @classmethod
    def replay_record(
        cls,
        record: _native.Job | Mapping[str, Any],
        specs: Mapping[int, Spec],
        source: Source,
        *,
        refreshed: Mapping[int, tuple[Source, str]] | None = None,
        features: Sequence[str] = FEATURES_DEFAULT,
        gradient_norm: str | None = None,
    ) -> Engine:
        """As ``replay``, without a daemon.

        Args:
            record: The job, from ``Client.job`` or as ``samplerctl --output json job show`` prints it.
            specs: The spec of each version in the job's log.
            source: The features that the job's dataset was imported from.
            refreshed: For versions over later revisions of the features: all columns of that revision, and its hash as
                ``Client.sampler`` and ``samplerctl sampler show`` tell it.
            features: Columns that samplers combine.
            gradient_norm: Column of gradient norms; default: grad_norm where there is one.

        Raises:
            InvalidArgument: The features are not those of the job's dataset, or a spec is missing.
        """
        if not isinstance(record, Mapping):
            record = {name: getattr(record, name) for name in RECORD_FIELDS}
        log = [(c["from_step"], c["version"]) if isinstance(c, Mapping) else tuple(c) for c in record["log"]]
        engine = cls.__new__(cls)
        engine._dataset = read(source, features, gradient_norm)
        given = {version: (read(of, features, gradient_norm), content) for version, (of, content) in (refreshed or {}).items()}
        engine._refreshed = {version: dataset for version, (dataset, _) in given.items()}
        engine._batch_size = record["batch_size"]
        parameters = (record["seed"], record["batch_size"], record["mode"], record["epoch_draws"])
        texts = {version: spec_json(spec) for version, spec in specs.items()}
        engine._start(
            _native.Engine(engine._dataset, parameters, log, record["horizon"], texts, given, record["dataset_hash"])
        )
        return engine

    def __repr__(self) -> str:
        return f"Engine({self.rows} rows, {self._native.spec_json(self._version)})"

    def __getstate__(self) -> dict[str, Any]:
        native = self._native
        specs = {version: native.spec_json(version) for _, version in native.log}
        return {
            "dataset": self._dataset,
            "batch_size": self._batch_size,
            "refreshed": self._refreshed,
            "job": (native.parameters, native.log, native.horizon, specs),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._dataset = state["dataset"]
        self._batch_size = state["batch_size"]
        self._refreshed = state.get("refreshed", {})
        refreshed = {version: (dataset, None) for version, dataset in self._refreshed.items()}
        parameters, log, horizon, specs = state["job"]
        self._start(_native.Engine(self._dataset, parameters, log, horizon, specs, refreshed))

    def activate_at(self, step: int, spec: Spec) -> int:
        """Swaps the sampler: batches from ``step`` on follow ``spec``, those before it stay what they are.

        Steps that a replayed job had decided cannot change; those from its horizon up to ``step`` keep its last version.

        Returns:
            The sampler's version, one more than the largest so far.

        Raises:
            InvalidArgument: The step lies before the last swap or below a replayed job's horizon, or the spec does not fit.
        """
        before = self._version
        self._start(self._native.activated_at(step, spec_json(spec)))
        if before in self._refreshed:
            self._refreshed = {**self._refreshed, self._version: self._refreshed[before]}
        return self._version

    def refresh_at(self, step: int, source: Source) -> int:
        """Replaces values of features, as ``Client.refresh_features`` does: batches from ``step`` on follow the latest sampler
        over the new values, and so do later swaps; those before it stay what they are.

        Args:
            step: Global step.
            source: The new values, one an example; columns left out keep theirs.

        Returns:
            The sampler's version, one more than the largest so far.

        Raises:
            InvalidArgument: The step lies before the last swap or below a replayed job's horizon; or the values are not those
                of every example, or not finite.
        """
        latest = self._refreshed.get(self._version, self._dataset)
        features, gradient_norm = latest.features, latest.gradient_norm
        if isinstance(source, Mapping):
            known = dict(latest.columns())
            for name in source:
                if name not in known:
                    raise _native.InvalidArgument(f"column {name!r} is none of the dataset's: {', '.join(known)}")
            source = {**known, **dict(columns(source))}
        refreshed = read(source, features, gradient_norm)
        self._start(self._native.refreshed_at(step, refreshed))
        self._refreshed = {**self._refreshed, self._version: refreshed}
        return self._version

    def with_sampler(self, spec: Spec) -> Engine:
        """Returns an engine of the same features, as they are now, and parameters that starts under another sampler; columns are
        shared.
        """
        engine = Engine.__new__(Engine)
        log, horizon, specs, _ = _one_version(spec)
        job = (self._native.parameters, log, horizon, specs)
        dataset = self._refreshed.get(self._version, self._dataset)
        engine.__setstate__({"dataset": dataset, "batch_size": self._batch_size, "refreshed": {}, "job": job})
        return engine

    @property
    def rows(self) -> int:
        """Examples in the dataset."""
        return self._dataset.rows

    @property
    def dataset_hash(self) -> str:
        """SHA-256 of the dataset's content, as samplerd names it; computed when first asked for."""
        return self._dataset.hash

    @property
    def seed(self) -> int:
        """Seed of every draw."""
        return self._native.parameters[0]

    @property
    def batch_size(self) -> int:
        """Global batch size, over all ranks.

        Raises:
            ValueError: It is given with every call.
        """
        if self._batch_size is None:
            raise ValueError("there is no batch size: give batch_size to the engine, or to each call")
        return self._batch_size

    @property
    def mode(self) -> str:
        """How draws of one epoch relate to each other."""
        return self._native.parameters[2]

    @property
    def epoch_draws(self) -> int:
        """Draws of an epoch."""
        return self._native.epoch_draws

    @property
    def log(self) -> list[tuple[int, int]]:
        """(First step, version) of every swap; the first is at step 0."""
        return self._native.log

    @property
    def horizon(self) -> int:
        """Steps below it are decided: all of them, except in a replay."""
        return self._native.horizon

    @property
    def spec(self) -> dict[str, Any]:
        """The canonical spec of the latest sampler."""
        spec: dict[str, Any] = json.loads(self._native.spec_json(self._version))
        return spec

    @property
    def effective_sample_size(self) -> float:
        """1 / sum p^2 under the latest sampler, in examples."""
        return self._native.effective_sample_size(self._version)

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """The probability of every example under the latest sampler, eq. (5), in row order."""
        return self._native.probabilities(self._version)

    def first_step(self, epoch: int, *, batch_size: int | None = None) -> int:
        """Returns the first step of an epoch."""
        return self._job(batch_size, None).first_step(epoch)

    def batch(
        self,
        step: int,
        *,
        batch_size: int | None = None,
        seed: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        version: int | None = None,
    ) -> _native.Batch:
        """Returns one rank's share of a global batch, in the same time at any step.

        Args:
            step: Global step.
            batch_size: Global batch size; default: the engine's.
            seed: Seed; default: the engine's.
            rank: Which share of each global batch.
            world_size: Into how many shares each is divided.
            version: Label of the batch instead of the version in the engine's log.

        Raises:
            InvalidArgument: A value is out of range, or the step is not decided: it is at or above a replay's horizon.
        """
        return self._job(batch_size, seed).batch(step, rank, world_size, version)

    def batches(
        self,
        from_step: int = 0,
        to_step: int | None = None,
        *,
        batch_size: int | None = None,
        seed: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        version: int | None = None,
    ) -> Iterator[_native.Batch]:
        """Iterates over the batches ``[from_step, to_step)`` of one rank; without end by default. See ``batch``."""
        step = from_step
        while to_step is None or step < to_step:
            yield self.batch(
                step, batch_size=batch_size, seed=seed, rank=rank, world_size=world_size, version=version
            )
            step += 1

    def select_crops(
        self, features: Mapping[str, Any], keep: int, *, step: int, seed: int | None = None, rank: int = 0, fill: bool = False
    ) -> SelectedCrops:
        """Selects some of the crops proposed for a step under the sampler in force at it; see ``Client.select_crops``.

        Args:
            features: Raw features by name, arrays or tensors of a value a crop.
            keep: How many are to be kept.
            step: Global step.
            seed: Seed; default: the engine's.
            rank: Who proposes.
            fill: Takes crops of weight 0 where fewer have a positive one.

        Raises:
            InvalidArgument: A feature is missing or not finite, or more are to be kept than are proposed.
            FailedPrecondition: Fewer crops have a positive weight, or the sampler is a column of weights.
        """
        own_seed, batch_size, mode, epoch_draws = self._native.parameters
        native = self._with((own_seed if seed is None else seed, batch_size, mode, epoch_draws))
        return SelectedCrops(*native.select_crops(columns(features), keep, step, rank, fill))

    @property
    def _version(self) -> int:
        return self._native.log[-1][1]

    def _job(self, batch_size: int | None, seed: int | None) -> _native.Engine:
        """Returns the engine of a call's parameters."""
        own_seed, _, mode, epoch_draws = self._native.parameters
        seed = own_seed if seed is None else seed
        return self._with((seed, self.batch_size if batch_size is None else batch_size, mode, epoch_draws))

    def _with(self, parameters: Parameters) -> _native.Engine:
        """Returns the native engine of other parameters; that of the last other ones is kept."""
        if self._native.parameters == parameters:
            return self._native
        if self._other.parameters != parameters:
            self._other = self._native.with_parameters(parameters)
        return self._other


def _one_version(
    spec: Spec,
) -> tuple[list[tuple[int, int]], int, dict[int, str], dict[int, tuple[_native.EngineDataset, str | None]]]:
    """Returns log, horizon, specs and refreshed features of a job under one sampler."""
    return [(0, VERSION_FIRST)], DECIDED, {VERSION_FIRST: spec_json(spec)}, {}
