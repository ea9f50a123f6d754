"""Numbers out of the searcher's reports."""

import math
import statistics
from dataclasses import dataclass
from typing import Any

from experiments.declaration import Row, Table
from experiments.store import Store


STUDENT_T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262]
"""97.5% points of Student's t by degrees of freedom from 1."""


@dataclass(frozen=True)
class Cell:
    """A cell's values by seed; None where a run is missing."""

    by_seed: dict[int, float]
    missing: int

    @property
    def mean(self) -> float | None:
        """Mean over the seeds."""
        return statistics.mean(self.by_seed.values()) if self.by_seed else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds; None of fewer than two."""
        return statistics.stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None

    @property
    def interval(self) -> float | None:
        """Half the width of the mean's 95% confidence interval; None of fewer than two seeds."""
        if self.deviation is None:
            return None
        return STUDENT_T[len(self.by_seed) - 2] * self.deviation / math.sqrt(len(self.by_seed))


def cell(table: Table, store: Store, row: Row, column: str) -> Cell:
    """What the runs of a cell came to."""
    values, missing = {}, 0
    for seed in row.seeds:
        run = table.run_of(row, column, seed)
        result = store.get(run)
        value = None if result is None else value_of(result["report"], run.command, row.of, row.value)
        if value is None:
            missing += 1
        else:
            values[seed] = value
    return Cell(values, missing)


def value_of(report: dict[str, Any], command: str, sampler: str, value: str) -> float | None:
    """A number of a report: of `searcher train`, or of a search after retraining under one of its samplers."""
    if value in ("rank_correlation", "rank_p", "true_rank_of_best"):
        ranking = report.get("ranking")
        return ranking and _of_ranking(ranking, value)
    if value == "best_objective":
        return max(objective for objective in report["objectives"] if objective is not None)
    if value == "seconds":
        # Of a search all its trials and one training.
        return report["seconds"]["mean"] if command == "train" else report["seconds_of_trials"]
    if value == "perplexity":
        # A language model's objective and its scores are 1 / perplexity.
        share = value_of(report, command, sampler, "test_accuracy")
        return share and 1 / share
    if command == "search":
        report = next((one for one in report["samplers"] if one["name"] == sampler), {})
    summary = report.get(value)
    return summary if summary is None or isinstance(summary, int | float) else summary["mean"]


def paired_difference(ours: Cell, baseline: Cell) -> Cell:
    """Differences seed by seed, of the seeds that both have."""
    both = [seed for seed in ours.by_seed if seed in baseline.by_seed]
    return Cell({seed: ours.by_seed[seed] - baseline.by_seed[seed] for seed in both}, 0)


def _of_ranking(ranking: dict[str, Any], value: str) -> float:
    """Of samplers ranked by short trials and from scratch: the correlation, how likely chance is to do as well, or the rank from
    scratch, 1 being the best, of the one that its short trial ranks first."""
    if value == "true_rank_of_best":
        best = max(ranking["pairs"], key=lambda pair: pair[0])
        return 1 + sum(from_scratch > best[1] for _, from_scratch in ranking["pairs"])
    return ranking["spearman" if value == "rank_correlation" else "p"]
