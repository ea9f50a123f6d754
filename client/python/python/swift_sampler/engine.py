"""The daemon's batches, computed in the process."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from swift_sampler import _native
from swift_sampler.spec import Spec, spec_json

FEATURES_DEFAULT = ("loss", "entropy")
GRADIENT_NORM_DEFAULT = "grad_norm"


class Engine:
    """A dataset and a sampler, without a daemon.

    A batch is a pure function of seed, step and sampler, so what an engine draws is, to the last bit, what samplerd
    serves for the same columns, spec, seed and batch size.
    """

    def __init__(
        self,
        columns: Mapping[str, npt.ArrayLike],
        spec: Spec = '{"kind":"uniform"}',
        *,
        features: Sequence[str] = FEATURES_DEFAULT,
        gradient_norm: str | None = None,
    ) -> None:
        """Builds the sampler.

        Args:
            columns: One value an example, by name.
            spec: The sampler.
            features: Columns that samplers combine.
            gradient_norm: Column of gradient norms; default: grad_norm where there is one.

        Raises:
            InvalidArgument: A value is not finite, lengths differ, a column is missing, or the spec does not fit.
        """
        arrays = [(name, np.ascontiguousarray(values, np.float64)) for name, values in columns.items()]
        if gradient_norm is None and GRADIENT_NORM_DEFAULT in columns:
            gradient_norm = GRADIENT_NORM_DEFAULT
        self._native = _native.Engine(arrays, spec_json(spec), list(features), gradient_norm)

    @classmethod
    def _of(cls, native: _native.Engine) -> Engine:
        engine = cls.__new__(cls)
        engine._native = native
        return engine

    def __repr__(self) -> str:
        return f"Engine({self.rows} rows, {self._native.spec_json})"

    def __reduce__(self) -> tuple[Any, ...]:
        native = self._native
        return _rebuild, (native.columns(), native.spec_json, native.features, native.gradient_norm)

    def with_sampler(self, spec: Spec) -> Engine:
        """Returns an engine of the same dataset under another sampler; the columns are shared."""
        return self._of(self._native.with_sampler(spec_json(spec)))

    @property
    def rows(self) -> int:
        """Examples in the dataset."""
        return self._native.rows

    @property
    def spec(self) -> dict[str, Any]:
        """The canonical spec."""
        spec: dict[str, Any] = json.loads(self._native.spec_json)
        return spec

    @property
    def effective_sample_size(self) -> float:
        """1 / sum p^2, in examples."""
        return self._native.effective_sample_size

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """The probability of every example, eq. (5), in row order."""
        return self._native.probabilities

    def batch(
        self, step: int, *, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1, version: int = 1
    ) -> _native.Batch:
        """Returns one rank's share of a global batch; ``version`` only labels it."""
        return self._native.batch(
            step, seed=seed, batch_size=batch_size, rank=rank, world_size=world_size, version=version
        )

    def batches(
        self,
        from_step: int = 0,
        to_step: int | None = None,
        *,
        batch_size: int,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        version: int = 1,
    ) -> Iterator[_native.Batch]:
        """Iterates over the batches ``[from_step, to_step)`` of one rank; without end by default."""
        step = from_step
        while to_step is None or step < to_step:
            yield self.batch(
                step, batch_size=batch_size, seed=seed, rank=rank, world_size=world_size, version=version
            )
            step += 1


def _rebuild(
    columns: list[tuple[str, npt.NDArray[np.float64]]], spec: str, features: list[str], gradient_norm: str | None
) -> Engine:
    return Engine._of(_native.Engine(columns, spec, features, gradient_norm))
