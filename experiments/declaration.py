"""What a table is: one JSON file in experiments/tables, and the runs that fill its cells."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
TABLES = FOLDER / "tables"
COMMANDS = ("search", "train")


class DeclarationError(Exception):
    """A table's file does not say what to run."""


@dataclass(frozen=True)
class Run:
    """One run of the searcher: `options` without data, seed, daemon and folders. It takes the sampler found by the run
    `sampler_of`, if that is given, runs `alone` where its time is what is asked for, and leaves `pictures` of those that the
    searcher draws."""

    table: str
    row: str
    column: str
    seed: int
    command: str
    options: tuple[str, ...]
    data: str
    sampler_of: "Run | None" = None
    alone: bool = False
    pictures: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Names the run within its table."""
        return f"{self.row} | {self.column} | {self.seed}"

    @property
    def digest(self) -> str:
        """Names what is run: a result of another digest is run again, and tables that ask for the same run share its result."""
        source = self.sampler_of and self.sampler_of.digest
        what = [self.command, sorted(_groups(self.options)), self.data, self.seed, source, self.alone, *self.pictures]
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Row:
    """A method: how it is run, or which row's runs it reads; `value` is what its cells show of the reports, `pictures` are kept of its first column and seed."""

    name: str
    command: str
    options: tuple[str, ...]
    columns: tuple[str, ...]
    seeds: tuple[int, ...]
    sampler_of: dict[str, str] | None
    reads: str | None
    of: str
    value: str
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table as declared."""

    name: str
    title: str
    paper: str
    setting: list[str]
    data: str
    options: tuple[str, ...]
    column_title: str
    columns: dict[str, tuple[str, ...]]
    rows: list[Row]
    value: str
    baseline: str | None
    figures: dict[str, dict[str, Any]]
    remarks: list[str] = field(default_factory=list)

    def row(self, name: str) -> Row:
        """The row of this name."""
        return next(row for row in self.rows if row.name == name)

    def runs(self) -> list[Run]:
        """All runs: those whose sampler others take come first, and of them one seed after another, so that a table shows all its
        rows early."""
        runs = [run for row in self.rows if row.reads is None for run in self._runs_of(row)]
        return sorted(runs, key=lambda run: (run.sampler_of is not None, run.seed))

    def run_of(self, row: Row, column: str, seed: int) -> Run:
        """The run that fills a cell."""
        made_by = self.row(row.reads) if row.reads else row
        of = made_by.sampler_of
        source = of and self.run_of(self.row(of["row"]), of.get("column", column), seed)
        options = (*self.options, *self.columns[column], *made_by.options)
        pictures = made_by.pictures if (column, seed) == (made_by.columns[0], made_by.seeds[0]) else ()
        return Run(self.name, made_by.name, column, seed, made_by.command, options, self.data, source, self.value == "seconds", pictures)

    def _runs_of(self, row: Row) -> list[Run]:
        return [self.run_of(row, column, seed) for column in row.columns for seed in row.seeds]


def _groups(options: tuple[str, ...]) -> list[list[str]]:
    """Options with their values, since their order means nothing."""
    groups: list[list[str]] = []
    for word in options:
        if word.startswith("--"):
            groups.append([word])
        else:
            groups[-1].append(word)
    return groups


def names() -> list[str]:
    """The declared tables, in the order of the paper."""
    return sorted((path.stem for path in TABLES.glob("*.json")), key=order)


def order(name: str) -> tuple[bool, int, str]:
    """Sorts names of tables and figures as the paper has them."""
    digits = "".join(character for character in name if character.isdigit())
    return (name.startswith("figure"), int(digits or 0), name)


def load(name: str, full_on: str | None = None) -> Table:
    """Reads a table; with `full_on`, at the paper's size on data of this name."""
    path = TABLES / f"{name}.json"
    if not path.is_file():
        raise DeclarationError(f"there is no table {name!r}: the tables are {', '.join(names())}")
    declared = json.loads(path.read_text())
    overrides = declared.pop("full", None)
    if full_on is not None:
        if overrides is None:
            raise DeclarationError(f"{path.name} says nothing of the paper's size (\"full\")")
        declared |= overrides
        declared["data"] += f": {full_on}"
    return parse(name, declared)


def parse(name: str, declared: dict[str, Any]) -> Table:
    """Makes a table of what its file says."""
    known = {
        *("title", "paper", "setting", "data", "options", "seeds", "column_title", "columns", "rows", "value", "baseline"),
        *("figures", "remarks"),
    }
    if unknown := sorted(set(declared) - known):
        raise DeclarationError(f"{name}: unknown {', '.join(unknown)}")
    columns = {column: tuple(options) for column, options in declared["columns"].items()}
    seeds = tuple(declared["seeds"])
    value = declared.get("value", "test_accuracy")
    rows = [_row(name, row, how, tuple(columns), seeds, value) for row, how in declared["rows"].items()]
    table = Table(
        name=name,
        title=declared["title"],
        paper=declared["paper"],
        setting=declared["setting"],
        data=declared["data"],
        options=tuple(declared["options"]),
        column_title=declared.get("column_title", ""),
        columns=columns,
        rows=rows,
        value=value,
        baseline=declared.get("baseline"),
        figures=declared.get("figures", {}),
        remarks=declared.get("remarks", []),
    )
    named = {row.name for row in rows}
    for row in rows:
        for other in [row.reads, row.sampler_of and row.sampler_of["row"]]:
            if other is not None and other not in named:
                raise DeclarationError(f"{name}: row {row.name!r} needs row {other!r}, which is not there")
    return table


def _row(table: str, name: str, how: dict[str, Any], columns: tuple[str, ...], seeds: tuple[int, ...], value: str) -> Row:
    commands = [command for command in COMMANDS if command in how]
    reads = how.get("reads")
    if len(commands) + (reads is not None) != 1:
        raise DeclarationError(f"{table}: row {name!r} needs one of search, train and reads")
    command = commands[0] if commands else ""
    chosen = tuple(how.get("columns", columns))
    if strange := [column for column in chosen if column not in columns]:
        raise DeclarationError(f"{table}: row {name!r} names column {strange[0]!r}, which is not there")
    return Row(
        name=name,
        command=command,
        options=tuple(how[command]) if command else (),
        columns=chosen,
        seeds=tuple(how.get("seeds", seeds)),
        sampler_of=how.get("sampler_of"),
        reads=reads,
        of=how.get("of", "found"),
        value=how.get("value", value),
        pictures=tuple(how.get("pictures", [])),
    )
