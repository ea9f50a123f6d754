"""Draws for Grain, the data loader of JAX programs.

``Draws`` is what ``grain.MapDataset.source`` takes. It keeps the job's own batches with any number of workers::

    draws = swift_sampler.Draws(client, "train", rank=jax.process_index(), world_size=jax.process_count())
    batches = grain.MapDataset.source(draws).map(examples.__getitem__).batch(draws.share).to_iter_dataset()

``DrawSampler`` is what ``grain.DataLoader(sampler=…)`` takes. That loader batches inside its workers, each of which has
every n-th draw: with ``worker_count`` above 1 leave batching to the program, to keep the job's batches.

Either iterator's ``get_state`` and ``set_state`` resume in the middle of an epoch. Ranks are those of ``Draws``, whose
shares are the job's; to Grain there is one shard: ``shard_options=grain.sharding.NoSharding()``.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from swift_sampler.draws import Draws

__all__ = ["DrawSampler", "Draws"]


class DrawSampler:
    """What ``grain.DataLoader(sampler=…)`` takes: record i is draw i, with a random generator of its own.

    The generator is made from the job's seed and the draw's number in the global sequence, so that random
    transformations too are the same for any world size and after any restart.
    """

    def __init__(self, draws: Draws) -> None:
        """Takes the draws.

        Raises:
            ImportError: Grain is not installed.
        """
        self.draws = draws
        self._record: Any = importlib.import_module("grain.python").RecordMetadata

    def __repr__(self) -> str:
        """Grain compares this text when it restores a checkpoint."""
        return f"DrawSampler({self.draws!r})"

    def __len__(self) -> int:
        return len(self.draws)

    def __getitem__(self, index: int) -> Any:
        """Returns the ``RecordMetadata`` of a draw.

        Raises:
            IndexError: There is no such draw.
        """
        row = self.draws[index]
        key = self.draws.seed | self.draws.number(index) << 64
        return self._record(index=index, record_key=row, rng=np.random.Generator(np.random.Philox(key=key)))
