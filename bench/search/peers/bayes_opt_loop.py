"""bayesian-optimization: its default upper confidence bound, with the GP's `alpha` raised for noise as its tour advises."""

import warnings

import numpy as np
from bayes_opt import BayesianOptimization

from bench.search.peers.speaking import serve

INITIAL_POINTS = 5
"""The default of its `maximize`."""
NOISE_VARIANCE = 0.01
"""`alpha`, in units of the observed values' variance: noise of a tenth, the middle one of the benchmark's."""


class BayesOptLoop:
    """Recommends the observed point of the best posterior mean."""

    def __init__(self, dimension: int, seed: int) -> None:
        self.names = [f"x{axis:02}" for axis in range(dimension)]
        self.optimiser = BayesianOptimization(
            f=None,
            pbounds={name: (0.0, 1.0) for name in self.names},
            random_state=seed,
            verbose=0,
            allow_duplicate_points=True,
        )
        self.optimiser.set_gp_params(alpha=NOISE_VARIANCE)
        self.points: list[dict[str, float]] = []

    def suggest(self) -> list[float]:
        if len(self.points) < INITIAL_POINTS:
            point = self.optimiser.random_sample(1)[0]
        else:
            point = self.optimiser.suggest()
        return [point[name] for name in self.names]

    def tell(self, point: list[float], value: float) -> None:
        self.points.append(dict(zip(self.names, point, strict=True)))
        self.optimiser.register(params=self.points[-1], target=value)

    def recommend(self) -> int:
        return int(np.argmax(self.optimiser.predict(self.points)))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    serve(BayesOptLoop)
