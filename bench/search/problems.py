"""What is searched: problems, their noise, and how regret on them is measured.

Here everything is to be maximised; functions that are to be minimised have their sign changed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bench.environments import interpreter
from bench.search.functions import FUNCTIONS, Shifted
from bench.search.methods import BINARY
from bench.search.pipe import Pipe

SIMULATOR, CLASSICAL, BBOB, BBOB_NOISY = "simulator", "classical", "bbob", "bbob-noisy"
GROUPS = (SIMULATOR, CLASSICAL, BBOB_NOISY, BBOB)
NOISES = (0.0, 0.1, 0.3)
"""Standard deviations of the noise, in units of the function's own over uniform points."""
OWN_NOISE = -1.0
"""In place of a noise: the problem's own."""
COCO_ENVIRONMENT = "search-coco"
SPREAD_POINTS = 1000
DIMENSION = 10


class Evaluation(Protocol):
    """A problem of one seed, ready to be evaluated."""

    best: float
    """The greatest value."""

    def values(self, point: list[float]) -> tuple[float, float]:
        """Returns the value as it is observed before noise is added, and the noise-free value."""

    def scale(self, spread: float) -> float:
        """Returns what a regret is divided by, given the standard deviation over uniform points."""

    def close(self) -> None:
        """Ends what computes the values."""


class ClassicalEvaluation:
    """A shifted function in this process."""

    def __init__(self, name: str, seed: int) -> None:
        self.function = Shifted(name, seed)
        self.best = -self.function.best

    def values(self, point: list[float]) -> tuple[float, float]:
        value = -self.function(np.array(point))
        return value, value

    def scale(self, spread: float) -> float:
        return spread

    def close(self) -> None:
        pass


class CocoEvaluation:
    """A function of COCO, in a process of COCO's environment; the seed is the instance."""

    def __init__(self, suite: str, function: int, seed: int) -> None:
        self.pipe = Pipe([interpreter(COCO_ENVIRONMENT), "-m", "bench.search.coco_server"])
        self.best = -self.pipe.ask({"suite": suite, "function": function, "instance": seed, "seed": seed})["best"]

    def values(self, point: list[float]) -> tuple[float, float]:
        answer = self.pipe.ask({"point": point})
        return -answer["observed"], -answer["value"]

    def scale(self, spread: float) -> float:
        return spread

    def close(self) -> None:
        self.pipe.close()


class SimulatorEvaluation:
    """Exact accuracies of samplers; the seed chooses the examples."""

    def __init__(self, seed: int) -> None:
        self.pipe = Pipe([BINARY, "simulator"])
        first = self.pipe.ask({"seed": seed})
        self.best, self.uniform = first["best"], first["uniform"]

    def values(self, point: list[float]) -> tuple[float, float]:
        value = self.pipe.ask({"point": point})["value"]
        return value, value

    def scale(self, spread: float) -> float:
        return self.best - self.uniform

    def close(self) -> None:
        self.pipe.close()


@dataclass(frozen=True)
class Problem:
    """A problem of any seed."""

    key: str
    group: str
    start: Callable[[int], Evaluation]
    dimension: int = DIMENSION

    @property
    def noises(self) -> tuple[float, ...]:
        """Returns the noises that it is searched under."""
        return (OWN_NOISE,) if self.group == BBOB_NOISY else NOISES


def _coco(suite: str, functions: range) -> tuple[Problem, ...]:
    return tuple(
        Problem(f"{suite}-f{function}", suite, lambda seed, function=function: CocoEvaluation(suite, function, seed))
        for function in functions
    )


PROBLEMS = (
    Problem("sampler", SIMULATOR, SimulatorEvaluation),
    *(
        Problem(name, CLASSICAL, lambda seed, name=name: ClassicalEvaluation(name, seed), function.dimension)
        for name, function in FUNCTIONS.items()
    ),
    *_coco(BBOB_NOISY, range(101, 131)),
    *_coco(BBOB, range(1, 25)),
)


def spread(evaluation: Evaluation, dimension: int) -> float:
    """Returns the standard deviation of the noise-free value over uniform points."""
    points = np.random.default_rng(0).random((SPREAD_POINTS, dimension))
    return float(np.std([evaluation.values(list(point))[1] for point in points]))
