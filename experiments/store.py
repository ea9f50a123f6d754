"""Results: one JSON file a table, written after every run. What another table has run already is not run again."""

import json
from pathlib import Path
from typing import Any

from experiments.declaration import FOLDER, Run, Table

RESULTS = FOLDER / "results"
FULL = "-full-"
"""Stands between a table's name and that of the data in the name of results at the paper's size."""


class Store:
    """The results of a table; those of runs that are declared otherwise by now count as missing."""

    def __init__(self, name: str, folder: Path = RESULTS) -> None:
        self.path = folder / f"{name}.json"
        self.results = _read(self.path)
        others = [_read(path) for path in sorted(folder.glob("*.json")) if path != self.path]
        self.of_others = {result["digest"]: result for results in others for result in results.values()}

    def get(self, run: Run) -> dict[str, Any] | None:
        """The result of a run, with its report, commit and machine; this table's, or that of another with the same run."""
        result = self.results.get(run.key)
        return result if result is not None and result["digest"] == run.digest else self.of_others.get(run.digest)

    def put(self, run: Run, result: dict[str, Any]) -> None:
        """Keeps a result; a reader never sees half of the file."""
        self.results[run.key] = {"digest": run.digest, **result}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(dict(sorted(self.results.items())), indent=1) + "\n")
        part.replace(self.path)

    def picture(self, name: str) -> Path:
        """Where a picture that a run leaves is kept."""
        return self.path.with_name(f"{self.path.stem}-{name}")

    def missing(self, table: Table) -> list[Run]:
        """Runs without a result, in the order they have to be made."""
        return [run for run in table.runs() if self.get(run) is None]


def _read(path: Path) -> dict[str, dict[str, Any]]:
    return json.loads(path.read_text()) if path.is_file() else {}
