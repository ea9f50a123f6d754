"""A job as a sequence: element i is draw i."""

from __future__ import annotations

import copy
import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from hashlib import sha256
from typing import Union, overload

import numpy as np
import numpy.typing as npt

from swift_sampler.client import Client
from swift_sampler.engine import Engine

BLOCK_DRAWS = 16_384
"""Draws fetched at once, about as many: whole batches."""
BLOCK_STEPS_MAX = 4096
"""Most steps in one answer of samplerd."""
BLOCKS_KEPT = 16
"""Blocks remembered, the most recently used."""

Block = npt.NDArray[Union[np.uint32, np.uint64]]


class Draws:
    """The draws of a job of samplerd, or of an ``Engine``, by number: ``draws[i]`` is the row of the dataset that draw i is.

    For loaders that ask in any order, such as Grain's, and for plain indexing: ``images[draws[1000:1256]]``. Of a rank's
    draws, number i is the i-th of its own: its share of batch 0, then of batch 1, and so on. Any number costs the same.

    Fetches whole blocks of batches and remembers the latest. Fetching freezes the steps up to the block's last: a newly
    activated sampler shows at the block after it. Threads may share it; it may be forked and pickled.
    """

    def __init__(
        self,
        source: Client | Engine,
        job: str | None = None,
        *,
        epochs: int | None = None,
        rank: int = 0,
        world_size: int = 1,
        block_draws: int = BLOCK_DRAWS,
    ) -> None:
        """Asks for the job's parameters.

        Args:
            source: The client, or an engine that was given its batch size.
            job: The client's job, which is open.
            epochs: Length in epochs, up to the first step after them; default: without end (``sys.maxsize``).
            rank: Which share of each global batch.
            world_size: Into how many shares each is divided.
            block_draws: Draws of this rank to fetch at once, about as many.

        Raises:
            NotFound: There is no such job.
            ValueError: A value is out of range.
        """
        if epochs is not None and epochs < 1:
            raise ValueError(f"epochs {epochs}: at least 1, or None for no end")
        if isinstance(source, Engine):
            if job is not None:
                raise ValueError("an engine is a job itself: job is for a client")
            # Swaps that the engine is told of later are not these draws'.
            source = copy.copy(source)
            samplers = [(step, source._native.spec_json(version)) for step, version in source.log]
            self.name = f"engine {sha256(repr(samplers).encode()).hexdigest()[:16]}"
            self.seed, self.batch_size = source.seed, source.batch_size
            self._mode, self._epoch_draws, self._hash = source.mode, source.epoch_draws, source.dataset_hash
        else:
            if job is None:
                raise ValueError("a client has many jobs: name one")
            record = source.job(job)
            self.name, self.seed, self.batch_size = record.name, record.seed, record.batch_size
            self._mode, self._epoch_draws, self._hash = record.mode, record.epoch_draws, record.dataset_hash
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size}: ranks are numbered from 0")
        if world_size > self.batch_size:
            raise ValueError(f"{world_size} ranks share batches of {self.batch_size}: some would be empty")
        self.rank, self.world_size, self.epochs = rank, world_size, epochs
        self._source = source
        self._steps = None if epochs is None else -(-epochs * self._epoch_draws // self.batch_size)
        self._offset = self.batch_size * rank // world_size
        self.share = self.batch_size * (rank + 1) // world_size - self._offset
        """This rank's draws of each batch: what to batch by, to get the job's batches."""
        self._block_steps = min(max(1, block_draws // self.share), BLOCK_STEPS_MAX, max(1, 2**22 // self.batch_size))
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._blocks: OrderedDict[int, Block] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        transient = ("_process", "_lock", "_blocks")
        return {name: value for name, value in self.__dict__.items() if name not in transient}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._forget()

    def __repr__(self) -> str:
        """Names all that decides what is drawn: two sequences of the same text are equal."""
        return (
            f"Draws({self.name!r}, dataset={self._hash[:16]}, batch_size={self.batch_size}, seed={self.seed}, "
            f"mode={self._mode!r}, epoch_draws={self._epoch_draws}, epochs={self.epochs}, rank={self.rank}, "
            f"world_size={self.world_size})"
        )

    def __len__(self) -> int:
        return sys.maxsize if self._steps is None else self._steps * self.share

    def __iter__(self) -> Iterator[int]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Block: ...
    def __getitem__(self, index: Union[int, slice]) -> Union[int, Block]:
        """Returns the row that a draw is; of a slice, an array of rows.

        Raises:
            IndexError: There is no such draw.
        """
        if isinstance(index, slice):
            runs = list(self._runs(range(*index.indices(len(self)))))
            return np.concatenate(runs) if runs else np.empty(0, np.uint32)
        step, place = divmod(self._checked(index), self.share)
        first = step - step % self._block_steps
        return int(self._block(first)[(step - first) * self.share + place])

    def _runs(self, numbers: range) -> Iterator[Block]:
        """Returns the rows of some draws, those of one block at a time."""
        length = self._block_steps * self.share
        while numbers:
            start = numbers[0] - numbers[0] % length
            inside = start + length - numbers[0] if numbers.step > 0 else numbers[0] - start + 1
            run = numbers[: -(-inside // abs(numbers.step))]
            block = self._block(start // self.share)
            yield block[np.arange(run.start - start, run.stop - start, run.step)]
            numbers = numbers[len(run) :]

    def number(self, index: int) -> int:
        """Returns the number, in the global sequence, of this rank's draw ``index``: the same for any world size."""
        step, place = divmod(self._checked(index), self.share)
        return step * self.batch_size + self._offset + place

    def _checked(self, index: int) -> int:
        length = len(self)
        checked = index + length if index < 0 else index
        if not 0 <= checked < length:
            raise IndexError(f"draw {index} of {length}")
        return checked

    def _block(self, first: int) -> Block:
        """Returns the block that begins at a step."""
        if self._process != os.getpid():
            # The lock may have been held by a thread that this process has not inherited.
            self._forget()
        with self._lock:
            block = self._blocks.get(first)
            if block is None:
                self._blocks[first] = block = self._fetch(first)
                if len(self._blocks) > BLOCKS_KEPT:
                    self._blocks.popitem(last=False)
            else:
                self._blocks.move_to_end(first)
            return block

    def _fetch(self, first: int) -> Block:
        end = first + self._block_steps
        if self._steps is not None:
            end = min(end, self._steps)
        shard = {"rank": self.rank, "world_size": self.world_size}
        if isinstance(self._source, Engine):
            batches = list(self._source.batches(first, end, **shard))
        else:
            batches = self._source.get_batches(
                self.name, first, end - first, seek=True, probabilities=False, crops=False, **shard
            )
        return np.concatenate([batch.indices for batch in batches])
