"""Vizier's default algorithm, the GP bandit `GP_UCB_PE`, without the service around it."""

import logging

import jax
import numpy as np
from vizier import algorithms as vza
from vizier import pyvizier as vz

# As Vizier's own service imports it: the public module imports every designer, and with them a solver for another one.
from vizier._src.algorithms.designers.gp_ucb_pe import VizierGPUCBPEBandit
from vizier.pyvizier.converters import padding

from bench.search.peers.speaking import serve

METRIC = "value"
PADDING = padding.PaddingSchedule(num_trials=padding.PaddingType.MULTIPLES_OF_10)
"""Vizier's own way to be compiled once in ten trials instead of once a trial; the padded ones are masked."""


class VizierDesigner:
    """Recommends the observed point of the best predicted mean."""

    def __init__(self, dimension: int, seed: int) -> None:
        problem = vz.ProblemStatement()
        self.names = [f"x{axis}" for axis in range(dimension)]
        for name in self.names:
            problem.search_space.root.add_float_param(name, 0.0, 1.0)
        problem.metric_information.append(vz.MetricInformation(METRIC, goal=vz.ObjectiveMetricGoal.MAXIMIZE))
        self.designer = VizierGPUCBPEBandit(
            problem, rng=jax.random.PRNGKey(seed), padding_schedule=PADDING
        )
        self.trial: vz.Trial | None = None
        self.told: list[vz.Trial] = []

    def suggest(self) -> list[float]:
        (suggestion,) = self.designer.suggest(1)
        self.trial = suggestion.to_trial(len(self.told) + 1)
        return [self.trial.parameters.get_value(name) for name in self.names]

    def tell(self, point: list[float], value: float) -> None:
        self.trial.complete(vz.Measurement({METRIC: value}))
        self.designer.update(vza.CompletedTrials([self.trial]), vza.ActiveTrials())
        self.told.append(self.trial)

    def recommend(self) -> int:
        return int(np.argmax(self.designer.predict(self.told).mean))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    serve(VizierDesigner)
