"""Crops that are proposed to a sampler, and those that it selects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from swift_sampler import features as of_examples


class SelectedCrops(NamedTuple):
    """The crops that are kept of those proposed, in the order they were drawn."""

    version: int
    """The sampler version that weighed them."""
    positions: npt.NDArray[np.uint32]
    """Their positions among the proposed ones."""
    weights: npt.NDArray[np.float32]
    """The weight of each of them, 0 to 1."""


def columns(features: Mapping[str, Any]) -> list[tuple[str, npt.NDArray[np.float64]]]:
    """Returns features by name, arrays or tensors, as contiguous columns of float64."""
    named = ((name, of_examples._array(values, name, np.float64)) for name, values in features.items())
    return [(name, np.ascontiguousarray(values).reshape(-1)) for name, values in named]
