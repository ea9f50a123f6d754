"""What a batch sampler asks of a client, answered by an engine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from swift_sampler import _native
from swift_sampler.client import Follow, Mode
from swift_sampler.engine import Engine
from swift_sampler.selection import SelectedCrops, columns


class EngineJob(NamedTuple):
    """What ``Client.open_job`` returns of a job, as far as a batch sampler looks at it."""

    dataset_rows: int
    dataset_hash: str
    epoch_draws: int


class EngineClient:
    """An engine in a client's place: every job draws from its features under its samplers."""

    def __init__(self, engine: Engine) -> None:
        """Takes the engine; a sampler that is activated on it later is taken up at its step."""
        self.engine = engine
        self._parameters: dict[str, tuple[int, int, str, int | None]] = {}

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
    ) -> EngineJob:
        """Opens a job, as ``Client.open_job`` does. The dataset's name does not matter: it is the engine's.

        Raises:
            InvalidArgument: A parameter is out of range.
            ValueError: ``follow`` is not ``"step"``.
        """
        if follow != "step":
            raise ValueError(f"follow is {follow!r}: an engine swaps samplers where Engine.activate_at says, so it must be 'step'")
        parameters = (seed, batch_size, mode, epoch_draws)
        native = self.engine._with(parameters)
        self._parameters[name] = parameters
        return EngineJob(self.engine.rows, self.engine.dataset_hash, native.epoch_draws)

    def select_crops(
        self,
        features: Mapping[str, Any],
        keep: int,
        *,
        step: int,
        job: str,
        rank: int = 0,
        fill: bool = False,
        seek: bool = False,
    ) -> SelectedCrops:
        """Selects some of the crops proposed for a step, as ``Client.select_crops`` does for a job."""
        native = self.engine._with(self._parameters[job])
        return SelectedCrops(*native.select_crops(columns(features), keep, step, rank, fill))

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
    ) -> Iterator[_native.Batch]:
        """Iterates over the batches of one rank, as ``Client.batches`` does. Nothing is far ahead here, and probabilities
        and crops cost little: ``seek``, ``probabilities`` and ``crops`` are taken as they come.
        """
        parameters = self._parameters[job]
        step = from_step
        while to_step is None or step < to_step:
            yield self.engine._with(parameters).batch(step, rank, world_size, None)
            step += 1
