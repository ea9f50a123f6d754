"""Where an engine's features come from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Union

import numpy as np
import numpy.typing as npt

from swift_sampler import _native

FEATURES_DEFAULT = ("loss", "entropy")
GRADIENT_NORM_DEFAULT = "grad_norm"

PathLike = Union[str, "os.PathLike[str]"]
Source = Union[Mapping[str, npt.ArrayLike], PathLike, Sequence[PathLike]]
"""Columns by name, one value an example; or a Parquet, safetensors, npz or CSV file; or several files, whose rows follow
each other."""


def read(source: Source, features: Sequence[str], gradient_norm: str | None) -> _native.EngineDataset:
    """Returns the dataset that samplerd makes of the same features."""
    if isinstance(source, Mapping):
        arrays = [(name, np.ascontiguousarray(values, np.float64)) for name, values in source.items()]
        if gradient_norm is None and GRADIENT_NORM_DEFAULT in source:
            gradient_norm = GRADIENT_NORM_DEFAULT
        return _native.EngineDataset(arrays, list(features), gradient_norm)
    files = [source] if isinstance(source, (str, os.PathLike)) else source
    return _native.EngineDataset.open([os.fspath(file) for file in files], list(features), gradient_norm)
