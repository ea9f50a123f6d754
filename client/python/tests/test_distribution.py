"""Draws against the paper's formulas, computed here from scratch with NumPy.

Equation numbers refer to arXiv 2410.05578.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import random_columns, write_parquet

from swift_sampler import Client

ROWS = 4000
DRAWS = 1_000_000
# The chance that a right sampler fails one of the tests: 1e-6, one-sided.
Z_MAX = 4.753


def probabilities(columns: dict[str, np.ndarray], spec: dict) -> np.ndarray:
    """p of every example, straight from the formulas, O(n log n)."""
    ranks = []
    for name in spec["features"]:
        values = columns[name]
        ranks.append(np.searchsorted(np.sort(values), values, side="right") / len(values))  # eq. (7)
    coefficients = np.array(spec["coefficients"]) / np.linalg.norm(spec["coefficients"])
    combined = sum(c * f for c, f in zip(coefficients, ranks, strict=True))  # eq. (6)
    mass = columns["grad_norm"] if spec["transform"] == "cgf" else np.ones(len(combined))
    _, group = np.unique(combined.round(12), return_inverse=True)
    of_group = np.bincount(group, mass)
    transformed = ((np.cumsum(of_group) - of_group / 2) / of_group.sum())[group]  # eq. (10), ties at their middle
    edges = np.concatenate([[0], np.sort(spec["knots"]), [1]])
    weights = np.interp(transformed, edges, spec["values"])  # eqs. (8, 9)
    return weights / weights.sum()  # eq. (5)


def random_spec(seed: int) -> dict:
    generator = np.random.default_rng(seed)
    values = generator.uniform(size=5)
    values[generator.integers(5)] = 0.0
    return {
        "kind": "swift",
        "features": ["loss", "entropy"],
        "coefficients": generator.uniform(-1, 1, 2).tolist(),
        "knots": np.sort(generator.uniform(size=3)).tolist(),
        "values": values.tolist(),
        "transform": ["cgf", "cdf"][seed % 2],
    }


def chi_squared_z(counts: np.ndarray, expected: np.ndarray) -> float:
    """The normal score of Pearson's statistic, by Wilson and Hilferty; rare examples share a bin."""
    order = np.argsort(expected)
    rare = order[: np.searchsorted(np.cumsum(expected[order]), 10) + 1]
    common = np.setdiff1d(order, rare)
    counts = np.append(counts[common], counts[rare].sum())
    expected = np.append(expected[common], expected[rare].sum())
    degrees = len(counts) - 1
    statistic = ((counts - expected) ** 2 / expected).sum()
    spread = 2 / (9 * degrees)
    return float(((statistic / degrees) ** (1 / 3) - (1 - spread)) / np.sqrt(spread))


@pytest.mark.parametrize("seed", range(6))
def test_a_million_draws_follow_the_formulas_for_random_parameters(client: Client, tmp_path: Path, seed: int) -> None:
    columns = random_columns(ROWS, seed=100 + seed)
    client.import_dataset("d", write_parquet(tmp_path / "features.parquet", columns))
    spec = random_spec(seed)
    client.activate("d", client.put_sampler("d", spec).version)
    client.open_job("j", "d", batch_size=10_000, seed=seed)
    expected = probabilities(columns, spec)
    counts = np.zeros(ROWS)
    for batch in client.batches("j", 0, DRAWS // 10_000):
        counts += np.bincount(batch.indices, minlength=ROWS)
        np.testing.assert_allclose(batch.probabilities, expected[batch.indices], rtol=1e-6, atol=1e-9)
    assert counts.sum() == DRAWS
    assert counts[expected == 0].sum() == 0
    assert chi_squared_z(counts, DRAWS * expected) < Z_MAX


def test_the_statistic_notices_a_wrong_sampler() -> None:
    columns = random_columns(ROWS, seed=7)
    right = probabilities(columns, random_spec(0))
    wrong = probabilities(columns, {**random_spec(0), "transform": "cdf"})
    counts = np.random.default_rng(0).multinomial(DRAWS, right)
    assert chi_squared_z(counts, DRAWS * right) < Z_MAX
    assert chi_squared_z(counts, DRAWS * wrong) > Z_MAX
