"""Weighted batches for training jobs: exact, resumable, distributed, and replaceable while a job runs.

``Client`` speaks to ``samplerd``; ``Engine`` computes the same batches in the process; ``Draws`` is either's job as a
sequence; ``features`` computes what samplers look at; ``torch`` and ``grain`` adapt batches and draws to the loaders of
PyTorch and JAX programs; ``trial`` makes a training of one's own a trial of a search. Nothing starts at import.
"""

from swift_sampler import features
from swift_sampler._native import (
    Aborted,
    ActiveSampler,
    AlreadyExists,
    Batch,
    Batches,
    Crops,
    Dataset,
    Error,
    FailedPrecondition,
    InvalidArgument,
    Job,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Sampler,
    Stats,
    Study,
    Trial,
    TrialLease,
    Unauthenticated,
    Unavailable,
)
from swift_sampler.client import Client, StudyEnded
from swift_sampler.draws import Draws
from swift_sampler.engine import Engine
from swift_sampler.selection import SelectedCrops

__all__ = [
    "Aborted",
    "ActiveSampler",
    "AlreadyExists",
    "Batch",
    "Batches",
    "Client",
    "Crops",
    "Dataset",
    "Draws",
    "Engine",
    "Error",
    "FailedPrecondition",
    "InvalidArgument",
    "Job",
    "NotFound",
    "PermissionDenied",
    "ResourceExhausted",
    "Sampler",
    "SelectedCrops",
    "Stats",
    "Study",
    "StudyEnded",
    "Trial",
    "TrialLease",
    "Unauthenticated",
    "Unavailable",
    "features",
]
