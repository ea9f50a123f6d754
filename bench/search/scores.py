"""Ranks, shares of won comparisons, and how sure they are."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

RESAMPLES = 1000
INTERVAL = (2.5, 97.5)
"""Percentiles over resampled seeds."""


@dataclass(frozen=True, order=True)
class Block:
    """What is compared within: a problem and noise, a budget and a seed, on which methods met the same function and noise."""

    cell: str
    budget: int
    seed: int


Regrets = dict[Block, dict[str, float]]
"""By block and method."""


@dataclass(frozen=True)
class Estimate:
    """A mean over blocks; the interval is of seeds drawn with replacement, and there is none of a single seed."""

    mean: float
    interval: tuple[float, float] | None
    blocks: int
    seeds: int


def ranks(regrets: dict[str, float]) -> dict[str, float]:
    """Returns each method's rank, 1 for the least regret; equal regrets share the mean of their ranks."""
    order = sorted(regrets, key=regrets.__getitem__)
    found: dict[str, float] = {}
    first = 0
    while first < len(order):
        last = first
        while last + 1 < len(order) and regrets[order[last + 1]] == regrets[order[first]]:
            last += 1
        for name in order[first : last + 1]:
            found[name] = 1 + (first + last) / 2
        first = last + 1
    return found


def average_ranks(regrets: Regrets, methods: Iterable[str]) -> dict[str, Estimate]:
    """Returns the average rank of each method over the blocks in which all of them were run."""
    methods = list(methods)
    shared = {block: of for block, of in regrets.items() if all(method in of for method in methods)}
    by_block = {block: ranks({method: of[method] for method in methods}) for block, of in shared.items()}
    return {method: estimate({block: of[method] for block, of in by_block.items()}) for method in methods if by_block}


def won(regrets: Regrets, method: str, peer: str) -> Estimate | None:
    """Returns the share of the blocks of both in which the method's regret is smaller; a tie is half a win."""
    shared = {block: (of[method], of[peer]) for block, of in regrets.items() if method in of and peer in of}
    if not shared:
        return None
    return estimate({block: 0.5 if ours == theirs else float(ours < theirs) for block, (ours, theirs) in shared.items()})


def mean_regret(regrets: Regrets, method: str) -> Estimate | None:
    """Returns the mean of a method's regrets."""
    found = {block: of[method] for block, of in regrets.items() if method in of}
    return estimate(found) if found else None


def estimate(values: dict[Block, float]) -> Estimate:
    """Returns the mean of values and its interval."""
    by_seed: dict[int, list[float]] = defaultdict(list)
    for block, value in values.items():
        by_seed[block.seed].append(value)
    sums = np.array([sum(of) for of in by_seed.values()])
    counts = np.array([len(of) for of in by_seed.values()])
    interval = None
    if len(by_seed) > 1:
        drawn = np.random.default_rng(0).integers(len(sums), size=(RESAMPLES, len(sums)))
        means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        interval = tuple(float(bound) for bound in np.percentile(means, INTERVAL))
    return Estimate(float(sums.sum() / counts.sum()), interval, len(values), len(by_seed))


def blocks(runs: dict[tuple[str, str, int], dict[int, float]], keep: Callable[[str], bool]) -> Regrets:
    """Arranges stored runs of the cells that are kept by block."""
    found: Regrets = defaultdict(dict)
    for (method, cell, seed), by_budget in runs.items():
        if keep(cell):
            for budget, regret in by_budget.items():
                found[Block(cell, budget, seed)][method] = regret
    return dict(found)
