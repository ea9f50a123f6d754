#!/usr/bin/env python3
"""Writes gp.json: reference values of the surrogate, by scikit-learn.

    python3 -m venv .venv && .venv/bin/pip install scikit-learn==1.9.1
    .venv/bin/python searcher/tests/golden/gp.py > searcher/tests/golden/gp.json

Each case holds points, objectives, hyperparameters and, computed by GaussianProcessRegressor on the standardised
objectives with the hyperparameters held fixed: the log marginal likelihood, its gradient by the logarithms of the length
scales (one, where all dimensions share it), and posterior mean and standard deviation at query points, in the objective's own units. The gradient by the
logarithm of the noise comes from a WhiteKernel of the same variance.
"""

import json
import sys

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel

JITTER = 1e-6
KERNELS = {
    "squared_exponential": RBF,
    "matern52": lambda **options: Matern(nu=2.5, **options),
    "matern32": lambda **options: Matern(nu=1.5, **options),
}


def case(name, rng, count, dimension, noise, scales, kernel="squared_exponential"):
    points = rng.random((count, dimension))
    if "replicates" in name:
        points[1] = points[2] = points[0]
    objectives = 0.8 + 0.05 * np.sin(4 * points[:, 0]) - 0.02 * points[:, -1] + 0.004 * rng.standard_normal(count)
    queries = rng.random((5, dimension))
    queries[0] = points[3]
    centre, scale = objectives.mean(), objectives.std(ddof=1)
    standardised = (objectives - centre) / scale
    length_scale = scales if len(scales) > 1 else scales[0]
    base = KERNELS[kernel](length_scale=length_scale, length_scale_bounds=(1e-9, 1e9))
    fixed = GaussianProcessRegressor(base, alpha=noise + JITTER, optimizer=None).fit(points, standardised)
    likelihood, slope = fixed.log_marginal_likelihood(base.theta, eval_gradient=True)
    white = base + WhiteKernel(noise, (1e-12, 1e12))
    noisy = GaussianProcessRegressor(white, alpha=JITTER, optimizer=None).fit(points, standardised)
    again, both = noisy.log_marginal_likelihood(white.theta, eval_gradient=True)
    assert abs(again - likelihood) < 1e-8 and np.allclose(both[:-1], slope)
    mean, sd = fixed.predict(queries, return_std=True)
    return {
        "name": name,
        "kernel": kernel,
        "points": points.tolist(),
        "objectives": objectives.tolist(),
        "length_scales": list(scales),
        "noise": noise,
        "log_marginal_likelihood": likelihood,
        "gradient": both.tolist(),
        "queries": queries.tolist(),
        "mean": (centre + scale * mean).tolist(),
        "sd": (scale * sd).tolist(),
    }


rng = np.random.default_rng(20241)
cases = [
    case("one dimension", rng, 8, 1, 1e-2, [0.3]),
    case("ten dimensions", rng, 40, 10, 5e-2, rng.uniform(0.3, 4.0, 10).tolist()),
    case("replicates", rng, 12, 4, 1e-4, [0.5, 1.0, 2.0, 8.0]),
    case("five halves", rng, 30, 5, 1e-2, rng.uniform(0.3, 4.0, 5).tolist(), "matern52"),
    case("three halves", rng, 30, 5, 1e-3, rng.uniform(0.3, 4.0, 5).tolist(), "matern32"),
    case("isotropic", rng, 25, 6, 2e-2, [0.9]),
    case("isotropic, five halves", rng, 25, 6, 2e-2, [1.4], "matern52"),
    case("isotropic, three halves, replicates", rng, 25, 6, 1e-2, [0.6], "matern32"),
]
json.dump(cases, sys.stdout, indent=1)
sys.stdout.write("\n")
