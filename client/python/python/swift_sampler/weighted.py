"""Examples with the weight that corrects for how often they are drawn."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Weighted", "WeightedIndex", "WeightedIndices"]


class WeightedIndex(NamedTuple):
    """An example that was drawn."""

    row: int
    """Its row, which a data set calls its index."""
    weight: np.float32
    """1 / (n p): n examples there are, p its probability."""


class WeightedIndices(NamedTuple):
    """The examples of a batch."""

    rows: npt.NDArray[np.int64]
    """Their rows, which a data set calls their indices."""
    weights: npt.NDArray[np.float32]
    """1 / (n p) of each."""


class Weighted:
    """A data set that gives the weight of each example along with it, for a ``BatchSampler(weights=True)``.

    Of an example that is a tuple, such as (image, label), the weight becomes the last element; else a pair is made.

    Importance sampling: with examples drawn independently, each with its probability p_i, the mean over a batch of
    w_i * loss_i with w_i = 1 / (n p_i) has the expectation of the plain mean of losses over all examples that can be drawn,
    divided by n (Katharopoulos and Fleuret 2018, Alain et al. 2015). So has its gradient: what is drawn more often counts
    less, and only the variance changes. Weights are not divided by their sum in a batch, which would bias the mean. An
    example of probability 0 is never drawn and so is missing from it: give every example some probability. In mode
    ``stratified`` the same holds, with less variance; in ``distinct`` it does not, as an epoch's later draws are of what is
    left.

    Not for a sampler that was searched to leave examples out: the correction would undo what it does.
    """

    def __init__(self, dataset: Any) -> None:
        """Takes the data set, whose ``__getitem__`` takes an index, or whose ``__getitems__`` several."""
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, drawn: WeightedIndex) -> tuple[Any, ...]:
        """Returns an example with its weight."""
        return self._with_weight(self.dataset[drawn.row], drawn.weight)

    def __getitems__(self, drawn: list[WeightedIndex] | WeightedIndices) -> list[tuple[Any, ...]]:
        """Returns the examples of a batch, each with its weight."""
        if isinstance(drawn, WeightedIndices):
            indices: Any = drawn.rows
            weights: Any = drawn.weights
        else:
            indices, weights = [of.row for of in drawn], [of.weight for of in drawn]
        fetch = getattr(self.dataset, "__getitems__", None)
        examples = [self.dataset[index] for index in indices] if fetch is None else fetch(indices)
        return [self._with_weight(example, weight) for example, weight in zip(examples, weights)]

    @staticmethod
    def _with_weight(example: Any, weight: np.float32) -> tuple[Any, ...]:
        return (*example, weight) if isinstance(example, tuple) else (example, weight)
