"""Optuna's samplers `tpe` and `gp`, by ask and tell."""

import sys
import warnings

import optuna
from optuna.samplers import GPSampler, TPESampler

from bench.search.peers.speaking import serve

# Of both samplers' documentation: the multivariate TPE outperforms the independent one, and a GP that is not told that the
# objective is deterministic fits the noise's variance.
SAMPLERS = {
    "tpe": lambda seed: TPESampler(multivariate=True, seed=seed),
    "gp": lambda seed: GPSampler(deterministic_objective=False, seed=seed),
}


class OptunaStudy:
    """A study in memory; Optuna's recommendation is `best_trial`, the best observed one."""

    def __init__(self, sampler: str, dimension: int, seed: int) -> None:
        self.study = optuna.create_study(direction="maximize", sampler=SAMPLERS[sampler](seed))
        self.space = {f"x{axis}": optuna.distributions.FloatDistribution(0.0, 1.0) for axis in range(dimension)}
        self.trial = None

    def suggest(self) -> list[float]:
        self.trial = self.study.ask(self.space)
        return [self.trial.params[name] for name in self.space]

    def tell(self, point: list[float], value: float) -> None:
        self.study.tell(self.trial, value)

    def recommend(self) -> int:
        return self.study.best_trial.number


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    if sys.argv[1] == "gp":
        import torch

        torch.set_num_threads(1)
    serve(lambda dimension, seed: OptunaStudy(sys.argv[1], dimension, seed))
