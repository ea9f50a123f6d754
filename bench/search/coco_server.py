"""COCO's functions as lines of JSON, in COCO's own environment: `cocoex` computes every value.

`{"suite":"bbob-noisy","function":109,"instance":3,"seed":3}` is answered `{"best":-213.5}`, the least value; then
`{"point":[…]}`, a point of the unit cube, `{"observed":…,"value":…}`, the value with COCO's noise and without. All are to be
minimised, in ten dimensions.

`cocoex` tells no noise-free values of bbob-noisy. Yet the functions come in threes that are one function of one instance under
three kinds of noise, and the third, the one of Cauchy noise, adds nothing but a constant in four of five evaluations: the value
that is met twice is the noise-free one and that constant.
"""

import json
import os
import sys
import tempfile
from pathlib import Path

import cocoex
import numpy as np

DIMENSION = 10
SIDE = 10.0
"""COCO's cube is from -5 to 5."""
FIRST_NOISY = 101
FIRST_SEVERE = 107
CAUCHY_SHIFT = 1e3
MODERATE_CAUCHY = 0.01
"""The factor of the Cauchy noise of functions 101 to 106; it is one from 107 on."""
TOLERANCE = 1.01e-8
"""What COCO adds to every noisy value."""
BEST_PARAMETER = "._bbob_problem_best_parameter.txt"
NOISE_APART = 500
"""Evaluations that runs of two seeds lie apart in COCO's one stream of noise."""


class CocoFunction:
    """A function of COCO, with its noise-free values."""

    def __init__(self, suite: str, function: int, instance: int, seed: int) -> None:
        first = FIRST_NOISY if suite == "bbob-noisy" else 1
        self.suite = cocoex.Suite(suite, f"instances: {instance}", f"dimensions: {DIMENSION}")
        self.noisy = self.suite.get_problem(function - first)
        self.free, self.shift = self.noisy, 0.0
        if suite == "bbob-noisy":
            third = function + 2 - (function - FIRST_NOISY) % 3
            self.free = self.suite.get_problem(third - first)
            factor = MODERATE_CAUCHY if third < FIRST_SEVERE else 1.0
            self.shift = factor * CAUCHY_SHIFT + TOLERANCE
            for _ in range(NOISE_APART * seed):
                self.noisy(np.zeros(DIMENSION))

    def observed(self, point: list[float]) -> float:
        """Returns a value with COCO's noise."""
        return float(self.noisy(_of_coco(point)))

    def value(self, point: list[float]) -> float:
        """Returns the value without noise."""
        if self.free is self.noisy:
            return self.observed(point)
        met: set[float] = set()
        while (value := float(self.free(_of_coco(point)))) not in met:
            met.add(value)
        return value - self.shift

    def best(self) -> float:
        """Returns the least value, that of COCO's optimum."""
        # COCO tells the optimum by a file of this name in the working folder, and in no other way.
        self.free._best_parameter("print")
        optimum = np.array(Path(BEST_PARAMETER).read_text().split(), dtype=float)
        return self.value(list(optimum / SIDE + 0.5))


def _of_coco(point: list[float]) -> np.ndarray:
    return SIDE * (np.array(point) - 0.5)


def main() -> None:
    """Answers until the end of input."""
    function: CocoFunction | None = None
    for line in sys.stdin:
        message = json.loads(line)
        if "suite" in message:
            function = CocoFunction(message["suite"], message["function"], message["instance"], message["seed"])
            print(json.dumps({"best": function.best()}), flush=True)
        else:
            values = {"observed": function.observed(message["point"]), "value": function.value(message["point"])}
            print(json.dumps(values), flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
