"""The record of all runs: results.json, and beside it a file for each run that has ended, so that an interrupted benchmark
goes on where it was.

Regrets do not depend on the machine: runs of results.json count as done wherever the benchmark goes on. Times do, and are
kept with the machine they were measured on.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.search.playing import BUDGETS, Cell

FORMAT = 1
PROBLEMS_VERSION = 1
"""To be raised when what is searched changes: all runs are then of another benchmark."""
DIGITS = 4
"""Of a stored regret; closer regrets are ties."""


@dataclass(frozen=True)
class Timing:
    """Times of the last ten suggestions before 100 evaluations, in milliseconds, and where and when."""

    ms: list[float]
    machine: dict[str, Any]
    date: str


class Store:
    """Runs by method, cell and seed."""

    def __init__(self, path: Path, folder: Path, versions: dict[str, str]) -> None:
        self.path = path
        self.folder = folder
        self.versions = versions
        """By method: the version whose runs count."""
        self.runs: dict[tuple[str, str, int], dict[int, float]] = {}
        self.packages: dict[str, dict[str, str]] = {}
        self.timings: dict[str, Timing] = {}
        self.refresh()

    def refresh(self) -> None:
        """Reads what is stored, by whichever process."""
        if self.path.exists():
            self._read(json.loads(self.path.read_text()))
        for method, version in self.versions.items():
            for file in self._of(method, version).glob("*.json"):
                run = json.loads(file.read_text())
                regrets = {int(budget): regret for budget, regret in run["regrets"].items()}
                known = self.runs.setdefault((method, run["cell"], run["seed"]), {})
                known.update(regrets)

    def has(self, method: str, cell: Cell, seed: int, evaluations: int) -> bool:
        """Tells whether a run of at least so many evaluations is stored."""
        return evaluations in self.runs.get((method, cell.key, seed), {})

    def put(self, method: str, cell: Cell, seed: int, regrets: dict[int, float]) -> None:
        """Stores a run that has ended, whole or not at all."""
        rounded = {budget: float(f"{regret:.{DIGITS}g}") for budget, regret in regrets.items()}
        folder = self._of(method, self.versions[method])
        folder.mkdir(parents=True, exist_ok=True)
        run = {"cell": cell.key, "seed": seed, "regrets": rounded}
        _write(folder / f"{cell.key}-{seed}.json", json.dumps(run))
        self.runs.setdefault((method, cell.key, seed), {}).update(rounded)

    def write(self) -> None:
        """Writes results.json: a line a method and cell, with the regrets of seed 1, 2, …"""
        methods = {}
        for method, version in self.versions.items():
            cells = sorted({cell for run, cell, _ in self.runs if run == method})
            if not cells and method not in self.timings:
                continue
            head = {"version": version, "packages": self.packages.get(method, {})}
            if method in self.timings:
                head["timing"] = asdict(self.timings[method])
            lines = [f'    {json.dumps(cell)}: {json.dumps(self._by_seed(method, cell))}' for cell in cells]
            body = json.dumps(head)[:-1] + ', "runs": {\n' + ",\n".join(lines) + "\n  }}"
            methods[method] = f"  {json.dumps(method)}: {body}"
        head = f'{{"format": {FORMAT}, "problems": {PROBLEMS_VERSION}, "methods": {{\n'
        _write(self.path, head + ",\n".join(methods.values()) + "\n}}\n")

    def _by_seed(self, method: str, cell: str) -> dict[str, list[float | None]]:
        seeds = [seed for run, of, seed in self.runs if (run, of) == (method, cell)]
        found = {
            budget: [self.runs.get((method, cell, seed), {}).get(budget) for seed in range(1, max(seeds) + 1)]
            for budget in BUDGETS
        }
        return {str(budget): regrets for budget, regrets in found.items() if any(r is not None for r in regrets)}

    def _read(self, document: dict[str, Any]) -> None:
        if document["format"] != FORMAT:
            raise ValueError(f"{self.path} has format {document['format']}, this version reads format {FORMAT}")
        if document["problems"] != PROBLEMS_VERSION:
            return
        for method, record in document["methods"].items():
            if self.versions.get(method) != record["version"]:
                continue
            self.packages[method] = record["packages"]
            if "timing" in record:
                self.timings[method] = Timing(**record["timing"])
            for cell, by_budget in record["runs"].items():
                for budget, regrets in by_budget.items():
                    for seed, regret in enumerate(regrets, 1):
                        if regret is not None:
                            self.runs.setdefault((method, cell, seed), {})[int(budget)] = regret

    def _of(self, method: str, version: str) -> Path:
        return self.folder / f"problems-{PROBLEMS_VERSION}" / f"{method}-{version}"


def _write(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text)
    part.replace(path)
