"""Batches for ``torch.utils.data.DataLoader``.

torch itself is imported only to ask ``torch.distributed`` for rank and world size, and only if the program has
imported it: without torch this module can be imported, type-checked and used with any loader.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from swift_sampler import _native
from swift_sampler.client import Client, Follow, Mode

__all__ = ["BatchSampler"]

STATE_FORMAT = 1


class BatchSampler:
    """What ``DataLoader(batch_sampler=…)`` takes: lists of indices, one epoch an iteration.

    The batches are those of a job of samplerd. An epoch is as many draws as the dataset has examples: epoch k starts at
    step ceil(k * rows / batch_size). Iterating again continues with the next epoch; ``set_epoch`` chooses one.

    Position: the sampler's place is its ``next_step``, the step it hands out next. A ``DataLoader`` with workers asks
    for ``prefetch_factor * num_workers`` batches ahead of the training loop, so a state taken in the middle of an epoch
    is ahead by as much. Count your own steps and pass them to ``state_dict(next_step=…)`` to resume exactly there.

    May be pickled and forked; nothing connects before it is used.
    """

    def __init__(
        self,
        client: Client | str | None,
        job: str,
        dataset: str,
        *,
        batch_size: int,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        epoch_draws: int | None = None,
        mode: Mode = "independent",
        follow: Follow = "step",
    ) -> None:
        """Takes the job's parameters; the job is opened when first used.

        Args:
            client: A client, or the daemon's address; ``None``: as ``Client()`` finds it.
            job: Name of the job, the same on every rank.
            dataset: The dataset to draw from.
            batch_size: Global batch size, over all ranks.
            seed: Seed of every draw, the same on every rank.
            rank: This process's share; default: as ``torch.distributed`` says when iteration starts, else 0.
            world_size: Number of shares; default as ``rank``, else 1.
            epoch_draws: Draws of an epoch, over all ranks; default: as many as the dataset has rows.
            mode: How draws of one epoch relate to each other.
            follow: When a newly activated sampler is taken up.
        """
        if (rank is None) != (world_size is None):
            raise ValueError("rank and world_size are given together, or neither")
        self.client = client if isinstance(client, Client) else Client(client)
        self.job = job
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch_draws = epoch_draws
        self.mode: Mode = mode
        self.follow: Follow = follow
        self._next_step = 0
        self._epoch_draws: int | None = None
        self._hash = ""
        # Set when the place was chosen, so that a first step far ahead is meant.
        self._seek = False
        # Set while the place is that of a loaded state.
        self._loaded = False

    def __repr__(self) -> str:
        return f"BatchSampler({self.job!r}, {self.dataset!r}, batch_size={self.batch_size}, next_step={self._next_step})"

    def __len__(self) -> int:
        """The number of batches in the present epoch, from its first step to its last."""
        return self._first_step(self.epoch + 1) - self._first_step(self.epoch)

    def __iter__(self) -> Iterator[list[int]]:
        """Yields the rest of the present epoch: all of it, unless a state was loaded or an iteration broken off."""
        rank, world_size = self._shard()
        if world_size > self.batch_size:
            raise ValueError(f"{world_size} ranks share batches of {self.batch_size}: some would be empty")
        end = self._first_step(self.epoch + 1)
        batches = self.client.batches(
            self.job,
            self._next_step,
            end,
            rank=rank,
            world_size=world_size,
            seek=self._seek,
            probabilities=False,
        )
        for batch in batches:
            self._next_step = batch.step + 1
            self._seek = self._loaded = False
            yield batch.indices.tolist()

    @property
    def next_step(self) -> int:
        """The step handed out next."""
        return self._next_step

    @property
    def epoch(self) -> int:
        """The epoch of ``next_step``."""
        return self._next_step * self.batch_size // self._opened()

    def set_epoch(self, epoch: int) -> None:
        """Goes to the first step of an epoch; does nothing if a state was just loaded from inside it, so that a resumed
        epoch goes on. An epoch far ahead freezes the steps before it: they keep the sampler that is active now.
        """
        if epoch < 0:
            raise ValueError(f"epoch {epoch}: epochs are numbered from 0")
        if not (self._loaded and self.epoch == epoch):
            self._go_to(self._first_step(epoch))

    def state_dict(self, *, next_step: int | None = None) -> dict[str, Any]:
        """Returns what is needed to go on: the job's parameters and the next step.

        Args:
            next_step: The step to resume at, where the caller knows better; see the class.
        """
        self._opened()
        return {
            "format": STATE_FORMAT,
            "job": self.job,
            "dataset": self.dataset,
            "dataset_hash": self._hash,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "next_step": self._next_step if next_step is None else next_step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where a state was taken, whatever the world size was then.

        Raises:
            ValueError: The state is of another job, dataset, seed or batch size.
        """
        expected = self.state_dict()
        for name, value in expected.items():
            if name not in state:
                raise ValueError(f"the state has no {name!r}: it is not one of a BatchSampler")
            if name != "next_step" and state[name] != value:
                raise ValueError(f"the state's {name} is {state[name]!r}, this sampler's is {value!r}")
        next_step = state["next_step"]
        if not isinstance(next_step, int) or next_step < 0:
            raise ValueError(f"the state's next_step is {next_step!r}: it must be a whole number from 0")
        self._go_to(next_step)
        self._loaded = True

    def _go_to(self, step: int) -> None:
        self._next_step, self._seek, self._loaded = step, True, False

    def _first_step(self, epoch: int) -> int:
        return -(-epoch * self._opened() // self.batch_size)

    def _opened(self) -> int:
        """Opens the job once and returns the draws of its epochs."""
        if self._epoch_draws is None:
            opened: _native.Job = self.client.open_job(
                self.job,
                self.dataset,
                batch_size=self.batch_size,
                seed=self.seed,
                epoch_draws=self.epoch_draws,
                mode=self.mode,
                follow=self.follow,
            )
            if self.batch_size > opened.epoch_draws:
                draws = opened.epoch_draws
                raise ValueError(f"batch_size {self.batch_size} is more than the {draws} draws of an epoch")
            self._epoch_draws, self._hash = opened.epoch_draws, opened.dataset_hash
        return self._epoch_draws

    def _shard(self) -> tuple[int, int]:
        """Returns rank and world size: as given, else as ``torch.distributed`` says now."""
        if self.rank is not None and self.world_size is not None:
            return self.rank, self.world_size
        # A program whose processes form a group has imported torch.distributed.
        distributed: Any = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1
