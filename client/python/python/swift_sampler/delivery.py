"""Which batches a ``DataLoader`` has delivered, of those it was given to load.

A ``DataLoader`` with workers asks its batch sampler for ``prefetch_factor * num_workers`` batches ahead of the loop that
trains on them, and with ``in_order=False`` delivers them in another order. Only the loader's iterator knows what it has
delivered; it is found among the callers while it asks for a batch. Reads private fields of torch's iterator, checks
that they are what they were when this was written, and refuses to answer where they are not.
"""

from __future__ import annotations

import sys
import weakref
from types import FrameType
from typing import Any

READS_AHEAD = {"accelerate.data_loader": "a loader prepared by accelerate reads a batch ahead of the training loop"}
"""Modules that iterate over a ``DataLoader`` on the loop's behalf and are known to read ahead."""

REMEDY = "count the steps that were trained and pass state_dict(next_step=…)"


def asking_loader() -> Any:
    """Returns the iterator of the ``DataLoader`` on whose behalf the caller is running, or ``None``."""
    # A program that has a DataLoader has imported its module.
    module = sys.modules.get("torch.utils.data.dataloader")
    frame: FrameType | None = sys._getframe(1)
    while module is not None and frame is not None:
        # Iterators defined elsewhere (torchdata's) ask through methods of torch's own.
        if frame.f_globals is vars(module) and "self" in frame.f_code.co_varnames:
            return frame.f_locals["self"]
        frame = frame.f_back
    return None


def reading_ahead() -> str:
    """Returns what among the callers reads ahead of the training loop; empty: nothing that is known to."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        reader = READS_AHEAD.get(frame.f_globals.get("__name__", ""))
        if reader is not None:
            return reader
        frame = frame.f_back
    return ""


class Delivery:
    """The batches given to one iterator of a ``DataLoader``, by position: 0 is the first one given.

    Keeps neither the iterator nor its workers alive; remembers how far it had come when it is gone.
    """

    def __init__(self, loader: Any, *, direct: bool) -> None:
        """Begins before the first batch is given.

        Args:
            loader: The iterator that asks.
            direct: Whether it asks the sampler itself, not something in between that may drop or merge batches.
        """
        # The fields, not the loader: they are read once more while it is being finalised, and then dropped.
        self._fields: dict[str, Any] = vars(loader)
        self._loader = weakref.ref(loader, lambda _gone: self.finish())
        self._direct = direct
        self._given = 0
        # Positions that the iterator's workers had when it last asked, and the one it was about to deliver then.
        self._waiting: set[int] = set()
        self._in_hand = -1
        self._failed = 0
        # A loader with a state of its own (torchdata's) is asked for it at the right moment.
        self._trouble = "" if hasattr(loader, "state_dict") else reading_ahead()
        self._final: tuple[int, list[int]] | None = None
        self._parallel = self._fields.get("_num_workers", 0) > 0
        wanted = {"_num_yielded": int, "_send_idx": int, "_task_info": dict} if self._parallel else {"_num_yielded": int}
        for name, kind in wanted.items():
            if not isinstance(self._fields.get(name), kind):
                self._trouble = f"this version of torch does not tell what its DataLoader has delivered ({name} is gone)"
        if not self._trouble:
            # A restored iterator of torchdata does not count from 0.
            self._yielded_before: int = self._fields["_num_yielded"]
            self._sent_before: int = self._fields["_send_idx"] if self._parallel else 0

    def ask(self) -> None:
        """Is called whenever the iterator asks for a batch, before it is given."""
        if self._trouble or self._final is not None:
            return
        yielded = self._fields["_num_yielded"] - self._yielded_before
        sent = self._given
        settled = self._given
        if self._parallel:
            sent = self._fields["_send_idx"] - self._sent_before
            waiting = self._unsettled()
            # Asking comes after taking a loaded batch out and before delivering it.
            gone = self._waiting - waiting
            self._in_hand = max(gone, default=-1)
            settled -= len(waiting) + (1 if gone else 0)
            self._waiting = waiting
        # What was neither delivered nor is waiting failed to load, and the user went on to the next batch.
        self._failed = settled - yielded
        if sent != self._given or self._failed < 0 or (self._failed and not self._direct):
            self._trouble = "between the DataLoader and the BatchSampler something drops, merges or reads ahead batches"

    def give(self) -> None:
        """Is called when a batch is given."""
        if self._parallel:
            self._waiting.add(self._given)
        else:
            self._in_hand = self._given
        self._given += 1

    def delivered(self) -> tuple[int, list[int]]:
        """Returns the first position not delivered yet, and the positions after it that are.

        Raises:
            RuntimeError: It cannot be told.
        """
        place = self._read() if self._final is None else self._final
        if self._trouble:
            raise RuntimeError(f"{self._trouble}: {REMEDY}")
        return place

    def finish_before(self, restarting: Any) -> None:
        """Remembers the present state if the iterator that is about to start over is this one."""
        if restarting is not None and self._loader() is restarting:
            self.finish()

    def finish(self) -> None:
        """Remembers the present state for good: the iterator is going, or starting over."""
        if self._final is None:
            self._final = self._read()
            self._fields = {}

    def _read(self) -> tuple[int, list[int]]:
        if self._trouble:
            return 0, []
        yielded = self._fields["_num_yielded"] - self._yielded_before
        waiting = self._unsettled() if self._parallel else set()
        if self._given - len(waiting) > yielded + self._failed:
            # One more was taken out, since the iterator last asked or before that, and not delivered: loading it failed.
            waiting |= self._waiting - waiting or {self._in_hand}
        first = min(waiting, default=self._given)
        return first, [position for position in range(first + 1, self._given) if position not in waiting]

    def _unsettled(self) -> set[int]:
        """Returns the positions given that the workers have, or whose batches have not been taken out yet."""
        tasks = {task - self._sent_before for task in list(self._fields["_task_info"])}
        return tasks | set(range(self._fields["_send_idx"] - self._sent_before, self._given))
