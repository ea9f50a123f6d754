"""The native half; use it through ``swift_sampler``."""

import builtins
from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

def seed_for(seed: int, number: int, purpose: str) -> int:
    """Derives a seed from another, a number and what it is for, as ``searcher`` does."""

class Error(Exception):
    """Anything that went wrong between here and samplerd."""

class Unavailable(Error):
    """samplerd could not be reached until the retries ran out."""

class NotFound(Error):
    """A dataset, sampler version, job, study or trial does not exist."""

class InvalidArgument(Error):
    """A value, or the content of a file, is refused."""

class AlreadyExists(Error):
    """The name is taken by something different."""

class FailedPrecondition(Error):
    """The state of what is named does not allow the call."""

class Aborted(Error):
    """Another client was faster."""

class Unauthenticated(Error):
    """samplerd wants a token, or another one."""

class PermissionDenied(Error):
    """The token may not do this."""

class ResourceExhausted(Error):
    """A limit of samplerd is reached."""

@final
class Batch:
    """One rank's share of a global batch.

    Its arrays are views of the memory that many batches were received into: made anew each time they are asked for,
    without a copy, and read-only. They keep all of that memory, so copy what is kept for long.
    """

    def __new__(
        cls,
        step: int,
        epoch: int,
        version: int,
        indices: npt.NDArray[np.uint32 | np.uint64],
        probabilities: npt.NDArray[np.float32],
        crops: Crops | None = None,
    ) -> Batch: ...
    @property
    def step(self) -> int:
        """Global step."""
    @property
    def epoch(self) -> int:
        """Epoch of the step."""
    @property
    def version(self) -> int:
        """The sampler version that every draw follows."""
    @property
    def indices(self) -> npt.NDArray[np.uint32 | np.uint64]:
        """Indices of examples, one a draw: uint64 if the dataset's end beyond 2**32, else uint32."""
    @property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """The probability with which each was drawn; empty if not asked for."""
    @property
    def crops(self) -> Crops | None:
        """The crop that each draw is; None unless the dataset is a crop bank, or if not asked for."""
    def __len__(self) -> int: ...

@final
class Crops:
    """The crops that the draws of a batch are: columns of one value a draw, read-only views as those of a batch."""

    def __new__(
        cls,
        image: npt.NDArray[np.uint32],
        top: npt.NDArray[np.uint32],
        left: npt.NDArray[np.uint32],
        height: npt.NDArray[np.uint32],
        width: npt.NDArray[np.uint32],
        flip: npt.NDArray[np.uint8],
    ) -> Crops: ...
    @property
    def image(self) -> npt.NDArray[np.uint32]:
        """Numbers of the images."""
    @property
    def top(self) -> npt.NDArray[np.uint32]:
        """First rows of the boxes, in pixels."""
    @property
    def left(self) -> npt.NDArray[np.uint32]:
        """First columns of the boxes."""
    @property
    def height(self) -> npt.NDArray[np.uint32]:
        """Rows of the boxes, at least 1."""
    @property
    def width(self) -> npt.NDArray[np.uint32]:
        """Columns of the boxes, at least 1."""
    @property
    def flip(self) -> npt.NDArray[np.uint8]:
        """1 where a crop is mirrored, left to right, else 0."""
    def __len__(self) -> int: ...

@final
class Batches:
    """An iterator over the batches of one rank; reconnects and continues by itself."""

    def __iter__(self) -> Batches: ...
    def __next__(self) -> Batch: ...
    @property
    def next_step(self) -> int:
        """The step to be delivered next."""

@final
class Dataset:
    """A dataset."""

    @property
    def name(self) -> str: ...
    @property
    def hash(self) -> str:
        """SHA-256 of the content."""
    @property
    def rows(self) -> int: ...
    @property
    def first_row(self) -> int:
        """Index of the first example."""
    @property
    def features(self) -> list[str]: ...
    @property
    def gradient_norm(self) -> str | None: ...
    @property
    def columns(self) -> list[str]: ...
    @property
    def cells(self) -> int:
        """Distinct quantised feature tuples."""
    @property
    def active_version(self) -> int: ...
    @property
    def features_revision(self) -> int:
        """The revision of the features that the active version weighs examples by; the import is 1."""
    @property
    def features_hash(self) -> str:
        """SHA-256 of that revision's content."""
    @property
    def kept_revisions(self) -> list[int]:
        """Revisions that are still stored."""
    @property
    def imputed(self) -> list[tuple[str, int, int, float]]:
        """What an import has just imputed: column, number of values, first row of all files, and what they are now."""
    @property
    def created_at_ms(self) -> int: ...

@final
class Sampler:
    """A sampler version."""

    @property
    def dataset(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def active(self) -> bool: ...
    @property
    def effective_sample_size(self) -> float:
        """1 / sum p^2, in examples."""
    @property
    def total_variation(self) -> float | None:
        """Distance to the exact sampler of the spec, estimated; None of one that an earlier samplerd stored."""
    @property
    def study(self) -> str | None:
        """The study it came from."""
    @property
    def trial(self) -> int | None: ...
    @property
    def features_revision(self) -> int:
        """The revision of the features that it weighs examples by; the import is 1."""
    @property
    def features_hash(self) -> str | None:
        """SHA-256 of that revision's content; None of the import's."""
    @property
    def refreshed_from(self) -> int | None:
        """The version whose spec a refresh built over new values to make this one."""
    @property
    def spec(self) -> dict[str, Any]:
        """The canonical spec."""
    @property
    def spec_json(self) -> str: ...
    @property
    def created_at_ms(self) -> int: ...

@final
class ActiveSampler:
    """Which sampler of a dataset is active."""

    @property
    def dataset(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def generation(self) -> int:
        """Grows with every activation."""
    @property
    def previous_version(self) -> int | None: ...

@final
class Job:
    """A job."""

    @property
    def name(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def mode(self) -> str: ...
    @property
    def follow(self) -> str | int:
        """``"step"``, ``"epoch"`` or a version."""
    @property
    def log(self) -> list[tuple[int, int]]:
        """(first step, version) of every change."""
    @property
    def horizon(self) -> int:
        """Steps below it are frozen."""
    @property
    def dataset_rows(self) -> int: ...
    @property
    def epoch_draws(self) -> int:
        """Draws of an epoch."""
    @property
    def dataset_hash(self) -> str: ...

@final
class Stats:
    """The daemon's counters since it started."""

    @property
    def version(self) -> str: ...
    @property
    def uptime_ms(self) -> int: ...
    @property
    def streams(self) -> int: ...
    @property
    def batches_served(self) -> int: ...
    @property
    def draws_served(self) -> int: ...
    @property
    def swaps(self) -> int: ...

@final
class Study:
    """A study."""

    @property
    def name(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def config(self) -> Any:
        """The policy's config."""
    @property
    def config_json(self) -> str: ...
    @property
    def ended(self) -> bool:
        """Whether no trial will come any more."""
    @property
    def result(self) -> Any:
        """The policy's result; None until it ends, or if it has none."""
    @property
    def result_json(self) -> str: ...
    @property
    def created_at_ms(self) -> int: ...
    @property
    def attempts_max(self) -> int:
        """Attempts a trial has."""
    @property
    def trials(self) -> int:
        """Trials added so far."""

@final
class Trial:
    """A trial."""

    @property
    def study(self) -> str: ...
    @property
    def number(self) -> int: ...
    @property
    def parameters(self) -> Any:
        """The policy's parameters."""
    @property
    def parameters_json(self) -> str: ...
    @property
    def sampler_version(self) -> int:
        """The candidate it trains under."""
    @property
    def state(self) -> str:
        """``"pending"``, ``"running"``, ``"succeeded"``, ``"infeasible"`` or ``"failed"``."""
    @property
    def attempt(self) -> int:
        """Attempts leased so far; the present one while running."""
    @property
    def released(self) -> int:
        """Attempts of those that were given back, which do not count."""
    @property
    def worker(self) -> str:
        """Who holds or last held it."""
    @property
    def objective(self) -> float | None:
        """What is maximised, once succeeded."""
    @property
    def reason(self) -> str:
        """Why it is infeasible, has failed or was given back."""
    @property
    def report(self) -> Any:
        """The worker's last report, parsed; None if there is none."""
    @property
    def report_json(self) -> str: ...
    @property
    def added_at_ms(self) -> int: ...
    @property
    def ended_at_ms(self) -> int: ...
    @property
    def lease_expires_at_ms(self) -> int: ...

@final
class TrialLease:
    """A leased trial, whose lease is kept in the background; of the process that leased it."""

    @property
    def trial(self) -> Trial: ...
    @property
    def lost(self) -> bool: ...
    def note_progress(self) -> None: ...
    def report(self, report_json: str) -> bool: ...
    def tell(self, kind: str, told: float | str, report_json: str) -> Trial: ...

@final
class Studies:
    """The calls of the Studies service."""

    def create(self, name: str, dataset: str, config_json: str, attempts_max: int) -> Study: ...
    def get(self, name: str) -> Study: ...
    def list(self) -> list[Study]: ...
    def end(self, name: str, result_json: str) -> Study: ...
    def remove(self, name: str) -> None: ...
    def add_trial(self, study: str, number: int, parameters_json: str, sampler_version: int) -> Trial: ...
    def trials(self, study: str) -> builtins.list[Trial]: ...
    def lease(
        self, study: str, worker: str, lease: float, wait_max: float, hang_timeout: float | None
    ) -> TrialLease | bool: ...
    def heartbeat(
        self, study: str, number: int, attempt: int, worker: str, lease: float, report_json: str
    ) -> bool: ...
    def tell(
        self, study: str, number: int, attempt: int, worker: str, kind: str, told: float | str, report_json: str
    ) -> Trial: ...

@final
class Connection:
    """A connection, of the process that made it."""

    def __new__(
        cls,
        address: str,
        connect_timeout: float,
        request_timeout: float,
        stall_timeout: float,
        retry_deadline: float | None,
        first_contact_deadline: float,
        connections: int,
        token: str | None,
        token_file: str | None,
        tls_ca: str | None,
        tls_cert: str | None,
        tls_key: str | None,
        insecure: bool | None,
    ) -> Connection: ...
    def open_job(
        self,
        name: str,
        dataset: str,
        *,
        seed: int,
        batch_size: int,
        epoch_draws: int | None,
        mode: str,
        follow: str | int,
    ) -> Job: ...
    def batches(
        self,
        job: str,
        from_step: int,
        to_step: int | None,
        *,
        rank: int,
        world_size: int,
        seek: bool,
        probabilities: bool,
        crops: bool,
    ) -> Batches: ...
    def get_batches(
        self,
        job: str,
        from_step: int,
        steps: int,
        *,
        rank: int,
        world_size: int,
        seek: bool,
        probabilities: bool,
        crops: bool,
    ) -> list[Batch]: ...
    def select_crops(
        self,
        features: list[tuple[str, npt.NDArray[np.float64]]],
        keep: int,
        step: int,
        job: str,
        dataset: str,
        version: int | None,
        seed: int,
        rank: int,
        fill: bool,
        seek: bool,
    ) -> tuple[int, npt.NDArray[np.uint32], npt.NDArray[np.float32]]: ...
    def import_dataset(
        self,
        name: str,
        files: list[str],
        *,
        features: list[str],
        gradient_norm: str | None,
        format: str | None,
        first_row: int,
        on_missing: str,
        progress: Callable[[int, int], object] | None,
    ) -> Dataset: ...
    def refresh_features(
        self,
        name: str,
        columns: list[tuple[str, npt.NDArray[np.float64]]],
        files: list[str],
        first_row: int | None,
    ) -> Dataset: ...
    def fetch_columns(self, hash: str, path: str) -> None: ...
    def datasets(self) -> list[Dataset]: ...
    def dataset(self, name: str) -> Dataset: ...
    def remove_dataset(self, name: str) -> None: ...
    def put_sampler(self, dataset: str, spec_json: str) -> Sampler: ...
    def samplers(self, dataset: str, candidates: bool) -> list[Sampler]: ...
    def sampler(self, dataset: str, version: int) -> Sampler: ...
    def activate(self, dataset: str, version: int) -> ActiveSampler: ...
    def rollback(self, dataset: str) -> ActiveSampler: ...
    def jobs(self) -> list[Job]: ...
    def job(self, name: str) -> Job: ...
    def remove_job(self, name: str) -> None: ...
    def studies(self) -> Studies: ...
    def stats(self) -> Stats: ...

@final
class EngineDataset:
    """A dataset without a daemon."""

    def __new__(
        cls,
        columns: list[tuple[str, npt.NDArray[np.float64]]],
        features: list[str],
        gradient_norm: str | None,
    ) -> EngineDataset: ...
    @staticmethod
    def open(files: list[str], features: list[str], gradient_norm: str | None) -> EngineDataset: ...
    @property
    def hash(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def features(self) -> list[str]: ...
    @property
    def gradient_norm(self) -> str | None: ...
    def columns(self) -> list[tuple[str, npt.NDArray[np.float64]]]: ...

@final
class Engine:
    """A dataset, a job's parameters and its samplers, without a daemon."""

    def __new__(
        cls,
        dataset: EngineDataset,
        parameters: tuple[int, int, str, int | None],
        log: list[tuple[int, int]],
        horizon: int,
        specs: dict[int, str],
        refreshed: Mapping[int, tuple[EngineDataset, str | None]],
        served_hash: str | None = None,
    ) -> Engine: ...
    def activated_at(self, step: int, spec_json: str) -> Engine: ...
    def refreshed_at(self, step: int, features: EngineDataset) -> Engine: ...
    def with_parameters(self, parameters: tuple[int, int, str, int | None]) -> Engine: ...
    def batch(self, step: int, rank: int, world_size: int, label: int | None) -> Batch: ...
    def select_crops(
        self, features: list[tuple[str, npt.NDArray[np.float64]]], keep: int, step: int, rank: int, fill: bool
    ) -> tuple[int, npt.NDArray[np.uint32], npt.NDArray[np.float32]]: ...
    def first_step(self, epoch: int) -> int: ...
    @property
    def epoch_draws(self) -> int: ...
    def probabilities(self, version: int) -> npt.NDArray[np.float64]: ...
    def effective_sample_size(self, version: int) -> float: ...
    def spec_json(self, version: int) -> str: ...
    @property
    def parameters(self) -> tuple[int, int, str, int | None]: ...
    @property
    def log(self) -> list[tuple[int, int]]: ...
    @property
    def horizon(self) -> int: ...
