"""Classical test functions over the unit cube, to be minimised, each with its optimum known.

Each is shifted at random within its box, by the seed: optima in a box's centre, where many optimisers look first, or on one
line would favour them.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SHIFTED_TO = (0.1, 0.9)
"""Where in the unit cube optima lie, by coordinate."""

HARTMANN_ALPHA = np.array([1.0, 1.2, 3.0, 3.2])
HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
HARTMANN_P = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(z: np.ndarray) -> float:
    """Six coordinates in [0, 1], four minima."""
    return -float(HARTMANN_ALPHA @ np.exp(-np.sum(HARTMANN_A * (z - HARTMANN_P) ** 2, axis=1)))


def ackley(z: np.ndarray) -> float:
    """Flat and wrinkled outside, a funnel inside."""
    return float(
        -20 * math.exp(-0.2 * math.sqrt(np.mean(z**2))) - math.exp(np.mean(np.cos(2 * math.pi * z))) + 20 + math.e
    )


def levy(z: np.ndarray) -> float:
    """Waves on a parabola."""
    w = 1 + (z - 1) / 4
    first = math.sin(math.pi * w[0]) ** 2
    middle = np.sum((w[:-1] - 1) ** 2 * (1 + 10 * np.sin(math.pi * w[:-1] + 1) ** 2))
    last = (w[-1] - 1) ** 2 * (1 + math.sin(2 * math.pi * w[-1]) ** 2)
    return float(first + middle + last)


def rosenbrock(z: np.ndarray) -> float:
    """A curved valley."""
    return float(np.sum(100 * (z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2))


def styblinski_tang(z: np.ndarray) -> float:
    """Two minima in each coordinate, the deeper one global."""
    return float(np.sum(z**4 - 16 * z**2 + 5 * z) / 2)


@dataclass(frozen=True)
class Function:
    """A function in its own coordinates."""

    of: Callable[[np.ndarray], float]
    low: float
    high: float
    optimum: tuple[float, ...]
    idle: int = 0
    """Coordinates without effect, at positions that the seed shuffles."""

    @property
    def dimension(self) -> int:
        return len(self.optimum) + self.idle


STYBLINSKI_TANG_OPTIMUM = -2.903534027771178
HARTMANN6_OPTIMUM = (0.20168951, 0.15001069, 0.47687398, 0.27533243, 0.31165162, 0.65730053)

FUNCTIONS = {
    "hartmann6": Function(hartmann6, 0, 1, HARTMANN6_OPTIMUM),
    "hartmann6-10d": Function(hartmann6, 0, 1, HARTMANN6_OPTIMUM, idle=4),
    "ackley10": Function(ackley, -32.768, 32.768, (0.0,) * 10),
    "levy10": Function(levy, -10, 10, (1.0,) * 10),
    "rosenbrock10": Function(rosenbrock, -5, 10, (1.0,) * 10),
    "styblinski-tang10": Function(styblinski_tang, -5, 5, (STYBLINSKI_TANG_OPTIMUM,) * 10),
}


class Shifted:
    """A function of the unit cube whose optimum is somewhere that depends on the seed."""

    def __init__(self, name: str, seed: int) -> None:
        self.function = FUNCTIONS[name]
        randomness = np.random.default_rng([seed, *name.encode()])
        order = randomness.permutation(self.function.dimension)
        self.effective = order[: len(self.function.optimum)]
        self.optimum = randomness.uniform(*SHIFTED_TO, size=self.function.dimension)
        """Where it is, in the unit cube; idle coordinates are arbitrary."""

    def __call__(self, point: np.ndarray) -> float:
        """Returns the value at a point of the unit cube."""
        offset = (np.asarray(point) - self.optimum)[self.effective]
        return self.function.of(np.array(self.function.optimum) + (self.function.high - self.function.low) * offset)

    @property
    def best(self) -> float:
        """The least value."""
        return self(self.optimum)
