"""BoTorch's closed loop, as in its tutorials: `SingleTaskGP` as it comes, and `qlognei` or `ucb`."""

import sys
import warnings

import torch
from botorch.acquisition import UpperConfidenceBound
from botorch.acquisition.logei import qLogNoisyExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf
from botorch.sampling.normal import SobolQMCNormalSampler
from gpytorch.mlls import ExactMarginalLogLikelihood

from bench.search.peers.speaking import serve

INITIAL_POINTS = 10
RESTARTS = 10
RAW_SAMPLES = 512
MC_SAMPLES = 128
BETA = 0.2
"""The weight of the variance that BoTorch's and Ax's examples use."""


def _qlognei(model: SingleTaskGP, points: torch.Tensor, seed: int) -> qLogNoisyExpectedImprovement:
    sampler = SobolQMCNormalSampler(torch.Size([MC_SAMPLES]), seed=seed)
    return qLogNoisyExpectedImprovement(model, X_baseline=points, sampler=sampler, prune_baseline=True)


def _ucb(model: SingleTaskGP, points: torch.Tensor, seed: int) -> UpperConfidenceBound:
    return UpperConfidenceBound(model, beta=BETA)


ACQUISITIONS = {"qlognei": _qlognei, "ucb": _ucb}


class BotorchLoop:
    """Recommends the observed point of the best posterior mean."""

    def __init__(self, acquisition: str, dimension: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.acquisition = ACQUISITIONS[acquisition]
        self.seed = seed
        self.bounds = torch.stack([torch.zeros(dimension), torch.ones(dimension)]).double()
        self.initial = torch.quasirandom.SobolEngine(dimension, scramble=True, seed=seed).draw(INITIAL_POINTS).double()
        self.points: list[list[float]] = []
        self.values: list[float] = []

    def suggest(self) -> list[float]:
        if len(self.points) < INITIAL_POINTS:
            return self.initial[len(self.points)].tolist()
        model, points = self._model()
        acquisition = self.acquisition(model, points, self.seed + len(self.points))
        point, _ = optimize_acqf(acquisition, self.bounds, q=1, num_restarts=RESTARTS, raw_samples=RAW_SAMPLES)
        return point[0].tolist()

    def tell(self, point: list[float], value: float) -> None:
        self.points.append(point)
        self.values.append(value)

    def recommend(self) -> int:
        model, points = self._model()
        return int(model.posterior(points).mean.argmax())

    def _model(self) -> tuple[SingleTaskGP, torch.Tensor]:
        points = torch.tensor(self.points, dtype=torch.double)
        values = torch.tensor(self.values, dtype=torch.double).unsqueeze(-1)
        model = SingleTaskGP(points, values)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model, points


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    serve(lambda dimension, seed: BotorchLoop(sys.argv[1], dimension, seed))
