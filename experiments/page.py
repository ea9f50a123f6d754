"""EXPERIMENTS.md: every table with the paper's figures beside ours."""

from experiments import curves, declaration, loss_curves, serving
from experiments.declaration import Table
from experiments.store import FULL, RESULTS, Store
from experiments.values import Cell, cell, paired_difference

PAGE = declaration.FOLDER.parent / "EXPERIMENTS.md"
SHARES = ("test_accuracy", "test_top5_accuracy", "test_balanced_accuracy", "validation_accuracy", "best_objective")
"""Values that are shown in percent."""
HEAD = """# Experiments

The tables and figures of the paper at the size that two cores allow, beside the paper's own figures. Data, networks and sizes are other ones, so the
figures are **analogues**: what can be compared is who is ahead of whom and by how much, not the accuracy itself. Values are means over seeds ± standard
deviations; differences are paired by seed. `make experiments EXP=NAME` makes the missing runs of a table and writes this page; every number with its seed,
commit and machine is in [experiments/results](experiments/results), what is run in [experiments/tables](experiments/tables).

The primary outcome was fixed before the runs: test accuracy at 40% label noise, Swift Sampler minus uniform, paired over five seeds. Secondary: Swift Sampler minus
Learning to Reweight, and the cumulative gradient function minus the CDF. In points, with the 95% confidence interval of Student's t:

"""
OUTCOMES = [("Swift Sampler", "uniform"), ("Swift Sampler", "Learning to Reweight"), ("Swift Sampler", "Swift Sampler, cdf")]
"""The primary outcome and the secondary ones: differences of rows of Table 1 at 40% label noise."""


def write() -> None:
    """Writes the page of what results there are."""
    PAGE.write_text("\n".join([HEAD + outcomes(declaration.load("table1")), *sections(), *full_sections()]))


def sections() -> list[str]:
    """A section a table or figure, in the order of the paper."""
    tables = declaration.names()
    made_of_bench = {serving.NAME: serving.section}
    names = sorted([*tables, *made_of_bench], key=declaration.order)
    return [section(declaration.load(name)) if name in tables else made_of_bench[name]() for name in names]


def outcomes(table: Table, store: Store | None = None) -> str:
    """The differences that were named before the runs."""
    store = store or Store(table.name)
    lines = []
    for ours, other in OUTCOMES:
        found = paired_difference(*(cell(table, store, table.row(row), "0.4") for row in (ours, other)))
        shown = "not run"
        if (half := found.interval) is not None:
            low, high = (100 * (found.mean + side * half) for side in (-1, 1))
            shown = f"**{100 * found.mean:+.2f}** ({low:+.2f} to {high:+.2f}; {len(found.by_seed)} seeds)"
        lines.append(f"- {ours} minus {other}: {shown}")
    return "\n".join([*lines, ""])


def full_sections() -> list[str]:
    """Sections of tables that were also run at the paper's size."""
    sections = []
    for path in sorted(RESULTS.glob(f"*{FULL}*.json")):
        name, data = path.stem.split(FULL)
        sections.append(section(declaration.load(name, data), Store(path.stem, path.parent), f", at the paper's size on {data}"))
    return sections


def section(table: Table, store: Store | None = None, suffix: str = "") -> str:
    """One table."""
    store = store or Store(table.name)
    lines = [f"## {table.title}{suffix}", "", f"{table.paper}. " + " ".join(table.setting), ""]
    header = [table.column_title or "", *table.columns]
    lines += [_line(header), _line(["---"] * len(header))]
    for row in table.rows:
        cells = {column: cell(table, store, row, column) if column in row.columns else None for column in table.columns}
        lines.append(_line([f"**{row.name}**", *(_shown(found, row.value) for found in cells.values())]))
        if figures := table.figures.get(row.name):
            lines.append(_line(["the paper's", *(_figure(figures, column) for column in table.columns)]))
        if table.baseline and row.name != table.baseline and row.value == table.value:
            baseline = table.row(table.baseline)
            differences = [
                paired_difference(found, cell(table, store, baseline, column)) if found and column in baseline.columns else None
                for column, found in cells.items()
            ]
            lines.append(_line([f"minus {table.baseline}", *(_difference(found, table.value) for found in differences)]))
    lines += ["", *(line for remark in table.remarks for line in (remark, ""))]
    if table.value == "best_objective" and (drawn := curves.draw(table, store, curves.FOLDER / f"{store.path.stem}.svg")):
        lines += [f"![{table.title}](experiments/results/{drawn.name})", ""]
    lines += loss_curves.lines(table, store)
    for run in table.runs():
        for picture in run.pictures if store.get(run) else ():
            lines += [f"![{run.row}, seed {run.seed}](experiments/results/{store.picture(picture).name})", ""]
    made = [result for result in map(store.get, table.runs()) if result is not None]
    commits = sorted({result["commit"] for result in made})
    machines = sorted({result["machine"] for result in made})
    done = f"{len(made)} of {len(table.runs())} runs" + (f"; commit {', '.join(commits)}; {', '.join(machines)}" if made else "")
    return "\n".join([*lines, f"`make experiments EXP={table.name}`: {done}.", ""])


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _figure(figures: dict[str, object], column: str) -> str:
    return str(figures[column]) if column in figures else ""


def _shown(found: Cell | None, value: str) -> str:
    if found is None:
        return ""
    if found.mean is None:
        return "not run"
    text = _number(found.mean, value) + (f" ± {_number(found.deviation, value)}" if found.deviation is not None else "")
    return text + (f" ({len(found.by_seed)} seeds)" if found.missing else "")


def _difference(found: Cell | None, value: str) -> str:
    if found is None or found.mean is None:
        return ""
    sign = "+" if found.mean >= 0 else "−"
    spread = f" ± {_number(found.deviation, value)}" if found.deviation is not None else ""
    return f"{sign}{_number(abs(found.mean), value)}{spread}"


def _number(value: float, of: str) -> str:
    return f"{100 * value:.1f}" if of in SHARES else f"{value:.2f}"
