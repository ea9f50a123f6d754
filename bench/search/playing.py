"""One run: an optimiser on a problem, and the regret of what it recommends."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np

from bench.search.pipe import PipeBroken
from bench.search.problems import OWN_NOISE, SIMULATOR, Problem, spread

BUDGETS = (40, 100)
"""After so many evaluations of one run, a recommendation is asked for."""


@dataclass(frozen=True, order=True)
class Cell:
    """What all methods are run on, once a seed."""

    problem: str
    noise: float

    @property
    def key(self) -> str:
        return self.problem if self.noise == OWN_NOISE else f"{self.problem}@{self.noise:g}"


@dataclass(frozen=True)
class Outcome:
    """What a run came to."""

    regrets: dict[int, float]
    """By budget: the noise-free regret of the recommended point, divided by the problem's scale."""
    ms: list[float] = field(default_factory=list)
    """The time of each suggestion."""


class Talk(Protocol):
    """A line to an optimiser."""

    def say(self, message: dict) -> None: ...

    def hear(self) -> dict: ...


@lru_cache(maxsize=256)
def _spread(problem: Problem, seed: int) -> float:
    evaluation = problem.start(seed)
    try:
        return spread(evaluation, problem.dimension)
    finally:
        evaluation.close()


def play(talk: Talk, problem: Problem, noise: float, seed: int, domain: str, evaluations: int) -> Outcome:
    """Plays one run of `evaluations` evaluations; the budget that the optimiser is told is the largest in any case."""
    width = _spread(problem, seed)
    # All methods meet the same noise in their n-th evaluation.
    randomness = np.random.default_rng([seed, round(100 * noise) + 100, *problem.key.encode()])
    added = max(noise, 0.0) * width * randomness.standard_normal(evaluations)
    evaluation = problem.start(seed)
    told = domain if problem.group == SIMULATOR else "cube"
    try:
        scale = evaluation.scale(width)
        talk.say({"dimension": problem.dimension, "budget": max(BUDGETS), "seed": seed, "domain": told})
        values: list[float] = []
        outcome = Outcome({})
        pending: list[dict] = []
        for number in range(evaluations):
            suggested = pending.pop() if pending else talk.hear()
            if len(suggested.get("point", ())) != problem.dimension:
                raise PipeBroken(f"a point of {problem.dimension} coordinates was expected, not {suggested}")
            outcome.ms.append(suggested["ms"])
            observed, value = evaluation.values(suggested["point"])
            values.append(value)
            talk.say({"value": observed + added[number]})
            if len(values) in BUDGETS:
                index = _recommended(talk, pending, len(values))
                outcome.regrets[len(values)] = (evaluation.best - values[index]) / scale
        return outcome
    finally:
        evaluation.close()


def _recommended(talk: Talk, pending: list[dict], evaluations: int) -> int:
    """Asks for a recommendation; a next point that comes before is kept for later."""
    talk.say({"recommend": True})
    while "index" not in (answer := talk.hear()):
        pending.append(answer)
    if not 0 <= answer["index"] < evaluations:
        raise PipeBroken(f"recommended evaluation {answer['index']} of {evaluations}")
    return answer["index"]
