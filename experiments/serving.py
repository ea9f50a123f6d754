"""Table 5: the paper's subset of LAION, as what can be measured of it, serving 5·10⁸ examples."""

from pathlib import Path

from bench.record import Results
from bench.rows import ROWS, SWIFT, centre, quantity

NAME = "table5"
BENCH = "large"
"""The section of the benchmarks that serves as many examples."""
RESULTS = Path(__file__).resolve().parent.parent / "bench" / "results.json"
HEAD = f"""## Table 5: 5·10⁸ examples

The paper's Table 5, a subset of LAION of 5·10⁸ images on 32 GPUs: top-1 72.4 → 74.7, top-5 90.1 → 92.3, convergence +25%. What is classified there is not said, so no
accuracy can be set beside it. What a sampler over as many examples asks of a daemon can be measured:

| what | ours |
| --- | --- |"""
FOOT = f"""
Measured by `make bench ONLY={BENCH}`; with targets and spread in [bench/RESULTS.md](bench/RESULTS.md)"""


def section(path: Path = RESULTS) -> str:
    """The section of EXPERIMENTS.md."""
    record = Results(path).sections.get(BENCH)
    if record is None:
        return f"{HEAD}\n| | not run |\n{FOOT}.\n"
    measured = [(row, record.values(row.key, SWIFT)) for row in ROWS if row.section == BENCH]
    lines = [f"| {row.what} | {quantity(centre(values))} {row.unit} |" for row, values in measured if values]
    return "\n".join([HEAD, *lines, f"{FOOT}; {record.date}, commit {record.commit}.", ""])
