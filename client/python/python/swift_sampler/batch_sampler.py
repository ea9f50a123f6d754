"""The batches of a job, as ``DataLoader(batch_sampler=…)`` takes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from swift_sampler import _native
from swift_sampler.client import Client, Follow, Mode
from swift_sampler.delivery import Delivery, asking_loader
from swift_sampler.engine import Engine
from swift_sampler.engine_client import EngineClient, EngineJob
from swift_sampler.weighted import WeightedIndex, WeightedIndices

__all__ = ["BatchSampler", "IndexKind"]

STATE_FORMAT = 1
SEED_MAX = 2**64 - 1
# Parameters that states of the first version do not hold; a daemon's job keeps them all the same.
ADDED_LATER = {"epoch_draws", "mode"}

IndexKind = Literal["list", "numpy"]
"""What a batch's indices are handed to a ``DataLoader`` as."""
AS_KIND: dict[str, Callable[[npt.NDArray[Any]], Any]] = {
    "list": lambda indices: indices.tolist(),
    "numpy": lambda indices: indices.astype(np.int64),
}


class Place(NamedTuple):
    """How far a job has come."""

    next_step: int
    """The first step whose batch was not delivered."""
    ahead: tuple[int, ...] = ()
    """Later steps whose batches were: a ``DataLoader(in_order=False)`` lets fast batches overtake."""


class BatchSampler:
    """What ``DataLoader(batch_sampler=…)`` takes: the indices of a batch at a time, one epoch an iteration.

    The batches are those of a job of samplerd. An epoch is ``epoch_draws`` draws, by default as many as the dataset has
    examples: epoch k starts at step ceil(k * epoch_draws / batch_size). Iterating again continues with the next epoch;
    ``set_epoch`` chooses one.

    Place: ``next_step`` and ``state_dict`` tell the step after the last batch that the ``DataLoader`` has *delivered*,
    whatever its workers have read ahead. A batch counts as delivered when the training loop gets it, so a state taken
    in the loop's body resumes with the batch after the one in hand: take it after the batch was trained on. What reads
    ahead of the loop on top of a ``DataLoader``, such as a prefetcher to a GPU, cannot be seen from here: count the steps
    that were trained and pass them to ``state_dict(next_step=…)`` or ``seek``.

    A sampler has one place, so one iteration at a time. A broken-off one is continued by the next, except after
    ``set_epoch``. May be pickled and forked; nothing connects before it is used.
    """

    def __init__(
        self,
        client: Client | Engine | str | None,
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
        indices: IndexKind = "list",
        weights: bool = False,
    ) -> None:
        """Takes the job's parameters; the job is opened when first used.

        Args:
            client: A client, or the daemon's address; ``None``: as ``Client()`` finds it. Or an ``Engine``, without any
                daemon: its features and samplers then make the batches, whatever the job and the dataset are called.
            job: Name of the job, the same on every rank.
            dataset: The dataset to draw from.
            batch_size: Global batch size, over all ranks.
            seed: Seed of every draw, the same on every rank.
            rank: This process's share; default: as ``torch.distributed`` says when iteration starts, else 0.
            world_size: Number of shares; default as ``rank``, else 1.
            epoch_draws: Draws of an epoch, over all ranks; default: as many as the dataset has rows.
            mode: How draws of one epoch relate to each other.
            follow: When a newly activated sampler is taken up.
            indices: What a batch's indices are: ``"list"``, a list of ints, which any data set takes, or ``"numpy"``,
                an int64 array, much faster for one that fetches a batch at once: its ``__getitems__`` gets the array,
                which indexes arrays and tensors as it is.
            weights: Whether each index comes with the weight that corrects for how often its example is drawn, 1 / (n p):
                as a list of ``WeightedIndex``, or with ``indices="numpy"`` as one ``WeightedIndices``. ``Weighted`` makes
                a data set take them. See there for what a mean of weighted losses estimates.
        """
        if (rank is None) != (world_size is None):
            raise ValueError("rank and world_size are given together, or neither")
        # Told here, not by the first worker that asks for a batch.
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}: a batch has at least one draw")
        if not 0 <= seed <= SEED_MAX:
            raise ValueError(f"seed {seed}: seeds go from 0 to {SEED_MAX}")
        if indices not in AS_KIND:
            raise ValueError(f"indices {indices!r}: {' or '.join(AS_KIND)}")
        if rank is not None and world_size is not None and not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of world size {world_size}: ranks go from 0 to one below the world size")
        self.client: Client | EngineClient
        if isinstance(client, Engine):
            self.client = EngineClient(client)
        else:
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
        self.indices: IndexKind = indices
        self.weights = weights
        self._rows = 0
        self._epoch_draws: int | None = None
        self._hash = ""
        # Where the next iteration starts, while none has started since it was set.
        self._start = Place(0)
        # Set when the start was chosen, so that a first step far ahead is meant.
        self._chosen = False
        # Set while the start is that of a loaded state.
        self._loaded = False
        # The epoch whose rest is to be iterated, where that is not the epoch of the start: its rest is empty.
        self._finished_epoch: int | None = None
        # The progress of the last iteration that has started since: it tells the place.
        self._progress: _Progress | None = None

    def __repr__(self) -> str:
        return f"BatchSampler({self.job!r}, {self.dataset!r}, batch_size={self.batch_size})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_start": self._place, "_progress": None}

    def __len__(self) -> int:
        """The number of batches, from its first step to its last, of the epoch that is iterated over: also after its end,
        until the next iteration begins or the sampler is moved, so that a mean over a loop's batches divides by theirs.
        Before an iteration, of the one it will be over.
        """
        epoch = self.epoch if self._progress is None else self._progress.epoch
        return self._first_step(epoch + 1) - self._first_step(epoch)

    def __iter__(self) -> Iterator[Any]:
        """Iterates over the rest of the present epoch: all of it, unless a state was loaded or an iteration broken off."""
        if self._progress is not None and self._progress.delivery is not None:
            # A loader that keeps its workers makes an iteration before it resets its counters.
            self._progress.delivery.finish_before(asking_loader())
        return _Iteration(self)

    @property
    def next_step(self) -> int:
        """The step after the last one delivered."""
        return self._place.next_step

    @property
    def epoch(self) -> int:
        """The epoch of ``next_step``."""
        if self._progress is None and self._finished_epoch is not None:
            return self._finished_epoch
        return self.next_step * self.batch_size // self._opened()

    def set_epoch(self, epoch: int) -> None:
        """Goes to the first step of an epoch; does nothing if a state was just loaded from inside it, so that a resumed
        epoch goes on; its rest is empty if its last batch was delivered before. An epoch far ahead freezes the steps
        before it: they keep the sampler that is active now.
        """
        if epoch < 0:
            raise ValueError(f"epoch {epoch}: epochs are numbered from 0")
        first, end = self._first_step(epoch), self._first_step(epoch + 1)
        if self._loaded and self._progress is None and first <= self._start.next_step <= end:
            self._finished_epoch = epoch if self._start.next_step == end else None
        else:
            self._go_to(Place(first))

    def seek(self, step: int) -> None:
        """Goes to a step, as loading a state does: for programs whose framework counts the steps that were trained."""
        if step < 0:
            raise ValueError(f"step {step}: steps are numbered from 0")
        self._go_to(Place(step))
        self._loaded = True

    def state_dict(self, *, next_step: int | None = None) -> dict[str, Any]:
        """Returns what is needed to go on: the job's parameters and the next step.

        With ``DataLoader(in_order=False)`` also what was delivered out of order, which differs between ranks: each rank
        then saves its own state, and resumes it with the same world size.

        Args:
            next_step: The step to resume at, where the caller knows better; see the class.

        Raises:
            RuntimeError: It cannot be told what was delivered: pass ``next_step``.
        """
        return self._state_at(self._place if next_step is None else Place(next_step))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where a state was taken, whatever the world size was then.

        Raises:
            ValueError: The state is of another job, dataset, seed, batch size, epoch length or mode.
        """
        for name, value in self._parameters().items():
            if name not in state and name in ADDED_LATER:
                continue
            if name not in state:
                raise ValueError(f"the state has no {name!r}: it is not one of a BatchSampler")
            if state[name] != value:
                raise ValueError(f"the state's {name} is {state[name]!r}, this sampler's is {value!r}")
        next_step = state.get("next_step")
        if not isinstance(next_step, int) or next_step < 0:
            raise ValueError(f"the state's next_step is {next_step!r}: it must be a whole number from 0")
        ahead = tuple(state.get("ahead", ()))
        if ahead and tuple(state["shard"]) != self._shard():
            (rank, world_size), (here, of) = state["shard"], self._shard()
            raise ValueError(
                f"the state is of rank {rank} of {world_size} and holds batches delivered out of order: "
                f"rank {here} of {of} cannot resume it"
            )
        self._go_to(Place(next_step, ahead))
        self._loaded = True

    @property
    def _place(self) -> Place:
        return self._start if self._progress is None else self._progress.delivered()

    def _go_to(self, place: Place) -> None:
        self._progress, self._start = None, place
        self._chosen, self._loaded, self._finished_epoch = True, False, None

    def _begin(self) -> tuple[_Progress, Iterator[_native.Batch]]:
        """Starts an iteration for the caller; from now on its progress tells the place."""
        rank, world_size = self._shard()
        if world_size > self.batch_size:
            raise ValueError(f"{world_size} ranks share batches of {self.batch_size}: some would be empty")
        start, epoch = self._place, self.epoch
        if self._progress is not None and self._progress.given:
            self._chosen = False
        batches = self.client.batches(
            self.job,
            start.next_step,
            self._first_step(epoch + 1),
            rank=rank,
            world_size=world_size,
            seek=self._chosen,
            probabilities=self.weights,
            crops=self._wants_crops(),
        )
        loader = asking_loader()
        direct = loader is not None and vars(loader).get("_index_sampler") is self
        self._progress = _Progress(start, epoch, None if loader is None else Delivery(loader, direct=direct))
        self._loaded, self._finished_epoch = False, None
        return self._progress, batches

    def _wants_crops(self) -> bool:
        """Tells whether batches are to carry the crops of a bank."""
        return False

    def _present(self, batch: _native.Batch) -> Any:
        """Returns what the loader gets of a batch."""
        indices = AS_KIND[self.indices](batch.indices)
        if not self.weights:
            return indices
        weights = (1.0 / (self._rows * batch.probabilities.astype(np.float64))).astype(np.float32)
        if self.indices == "numpy":
            return WeightedIndices(indices, weights)
        return [WeightedIndex(*of) for of in zip(indices, weights)]

    def _state_at(self, place: Place) -> dict[str, Any]:
        state = {**self._parameters(), "next_step": place.next_step}
        if place.ahead:
            state.update(ahead=list(place.ahead), shard=list(self._shard()))
        return state

    def _parameters(self) -> dict[str, Any]:
        epoch_draws = self._opened()
        return {
            "format": STATE_FORMAT,
            "job": self.job,
            "dataset": self.dataset,
            "dataset_hash": self._hash,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "epoch_draws": epoch_draws,
            "mode": self.mode,
        }

    def _first_step(self, epoch: int) -> int:
        return -(-epoch * self._opened() // self.batch_size)

    def _opened(self) -> int:
        """Opens the job once and returns the draws of its epochs."""
        if self._epoch_draws is None:
            opened: _native.Job | EngineJob = self.client.open_job(
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
            self._rows = opened.dataset_rows
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


class _Progress:
    """How far an iteration has come. Holds nothing of it, so that its stream ends when it is dropped."""

    def __init__(self, start: Place, epoch: int, delivery: Delivery | None) -> None:
        self.start = start
        self.epoch = epoch
        self.delivery = delivery
        self.given = 0

    def ask(self) -> None:
        """Is called before a batch is given."""
        if self.delivery is not None:
            self.delivery.ask()

    def give(self) -> None:
        """Is called when a batch is given."""
        if self.delivery is not None:
            self.delivery.give()
        self.given += 1

    def delivered(self) -> Place:
        """Returns the place after the batches that were delivered."""
        if self.delivery is None:
            return self.after(self.given)
        first, ahead = self.delivery.delivered()
        return self.after(first, ahead)

    def after(self, first: int, ahead: Sequence[int] = ()) -> Place:
        """Returns the place where ``first`` is the first position not delivered and those ``ahead`` of it are."""
        next_step = self._step(first)
        steps = {self._step(position) for position in ahead}
        steps.update(step for step in self.start.ahead if step > next_step)
        return Place(next_step, tuple(sorted(steps)))

    def _step(self, position: int) -> int:
        """Returns the step that was given at a position: those delivered before the start are left out."""
        step = self.start.next_step + position
        for ahead in self.start.ahead:
            step += ahead <= step
        return step


class _Iteration(Iterator[Any]):
    """One pass over the rest of an epoch; starts when it is first asked for a batch.

    ``state_dict`` and ``load_state_dict`` are for torchdata's ``StatefulDataLoader``, which takes a state for every
    batch it is given, keeps it with the batch, and hands out that of the last batch it delivered. To it, the place is
    after the last batch *given*.
    """

    def __init__(self, sampler: BatchSampler) -> None:
        self._sampler = sampler
        self._progress: _Progress | None = None
        self._batches: Iterator[_native.Batch] = iter(())

    def __next__(self) -> Any:
        progress = self._progress
        if progress is None:
            self._progress, self._batches = progress, _ = self._sampler._begin()
        progress.ask()
        batch = next(self._batches)
        while batch.step in progress.start.ahead:
            batch = next(self._batches)
        if self._sampler._progress is not progress:
            raise RuntimeError("the sampler has been moved, or iterated elsewhere, since this iteration started")
        try:
            presented = self._sampler._present(batch)
        except BaseException:
            # Going on would leave this step out; another iteration begins with it.
            self._batches = iter(())
            raise
        progress.give()
        return presented

    def state_dict(self) -> dict[str, Any]:
        """Returns the state after the last batch given."""
        progress = self._progress
        return self._sampler._state_at(self._sampler._place if progress is None else progress.after(progress.given))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes to where a state was taken; before the first batch."""
        if self._progress is not None:
            raise RuntimeError("a state is loaded before the first batch is asked for")
        self._sampler.load_state_dict(state)
