"""bench/search/RESULTS.md and its plots, made from the record alone."""

from pathlib import Path

from bench.chart import Bar, Panel, svg
from bench.rows import SWIFT, quantity
from bench.search.methods import CUBE, METHODS, Method
from bench.search.playing import BUDGETS
from bench.search.problems import BBOB, BBOB_NOISY, CLASSICAL, GROUPS, NOISES, PROBLEMS, SIMULATOR
from bench.search.scores import Estimate, Regrets, average_ranks, blocks, mean_regret, won
from bench.search.store import Store

HEAD = """\
# What `make bench-search` measured

Ours beside other optimisers, each in its own environment with one thread, on functions whose optimum is known. Every method is
scored by the noise-free **regret** of the point that it *recommends* after 40 and after 100 evaluations of one run: how far the
point's true value lies below the greatest one, in units of the function's standard deviation over uniform points; on the
simulator in units of what the best sampler gains over uniform (0 is the best sampler, 1 is no gain at all). All methods meet the
same function and the same noise in a seed. Every regret is in [results.json](results.json); `make bench-search` goes on from
there, CONTRIBUTING.md says how.
"""

ABOUT = {
    SIMULATOR: "accuracy of a sampler of ten parameters, as a function of its mislabelled mass and effective sample size, with the "
    "true symmetries; a seed chooses the examples (`swift-sampler-bench simulator`)",
    CLASSICAL: "Hartmann6 in 6 dimensions, and in 10 of which 4 are idle, in an order that the seed shuffles; Ackley, Levy, "
    "Rosenbrock and Styblinski-Tang in 10. Each is shifted within its box at random by the seed, so that no optimiser gains by "
    "trying the centre",
    BBOB_NOISY: "COCO's 30 noisy functions in 10 dimensions with their own noise, one instance a seed. COCO tells no noise-free "
    "values; its functions are one function under three kinds of noise, and the third kind leaves most values alone but for a "
    "constant, so the noise-free value is the one that is met twice",
    BBOB: "COCO's 24 noise-free functions in 10 dimensions, one instance a seed, to which noise is added",
}
ALL = "all"
RANKED_SHARE = 0.25
"""A method is ranked in a group if it was run on at least this share of the group's cells."""
TIME_TARGET_MS = 10
GROUP_OF = {problem.key: problem.group for problem in PROBLEMS}


def write(store: Store, folder: Path) -> None:
    """Writes the page and the plots."""
    for name, panels in _plots(store).items():
        (folder / name).write_text(svg(panels))
    (folder / "RESULTS.md").write_text(render(store))


def render(store: Store) -> str:
    """Renders the page."""
    parts = [HEAD, _problems(), "## Average rank\n", RANKS_NOTE]
    for budget in BUDGETS:
        parts += [f"After {budget} evaluations:\n", _ranks(store, budget)]
    parts.append("![Average ranks](ranks.svg)\n")
    parts += ["## Ours against each\n", AGAINST_NOTE]
    for budget in BUDGETS:
        parts += [f"After {budget} evaluations:\n", _against(store, budget)]
    parts += ["## Regret on the simulator\n", *(_simulator(store, budget) for budget in BUDGETS)]
    parts += ["## Regret by problem\n", *(_by_problem(store, budget) for budget in BUDGETS)]
    parts += ["## Time\n", _times(store), "## Methods\n", _methods(store)]
    return "\n".join(part for part in parts if part)


RANKS_NOTE = """\
Methods are ranked within each problem, noise and seed, equal regrets sharing their ranks; a column is the mean over the runs that
all its methods have made, in brackets the 95% interval of seeds drawn with replacement (none of one seed). A method that was run on
less than a quarter of a group's problems and noises, or alone, is not ranked there; in
*all* those are ranked that are ranked in a group, over the runs that all of them have made. *Swift Sampler, cube* is ranked in the place of ours.
"""
AGAINST_NOTE = """\
The share of the runs that both have made in which ours has the smaller regret, ties halved, with the number of runs.
"""


def group_of(cell: str) -> str:
    """Returns the group of a stored cell."""
    return GROUP_OF[cell.split("@")[0]]


def ranked(columns: dict[str, Regrets]) -> dict[str, dict[str, Estimate]]:
    """Returns the average ranks in each group of the methods that were run on enough of its cells, and in all groups those of
    the methods that are ranked in any."""
    enough = {name: _enough(regrets) for name, regrets in columns.items() if name != ALL}
    anywhere = {key for keys in enough.values() for key in keys} - {CUBE}
    return {name: _average(regrets, enough.get(name, anywhere)) for name, regrets in columns.items()}


def _enough(regrets: Regrets) -> set[str]:
    cells = {block.cell for block in regrets}
    run_on = {method.key: {block.cell for block, of in regrets.items() if method.key in of} for method in METHODS}
    return {key for key, of in run_on.items() if of and len(of) >= RANKED_SHARE * len(cells)}


def _average(regrets: Regrets, enough: set[str]) -> dict[str, Estimate]:
    """Returns average ranks, with ours on the cube in place of ours; none of a method that has nothing beside it."""
    compared = [key for key in enough if key != CUBE]
    found = average_ranks(regrets, compared) if len(compared) > 1 else {}
    if found and CUBE in enough and SWIFT in enough:
        found |= {CUBE: of for key, of in average_ranks(regrets, [key for key in enough if key != SWIFT]).items() if key == CUBE}
    return found


def _of(store: Store, budget: int, groups: tuple[str, ...]) -> Regrets:
    regrets = blocks(store.runs, lambda cell: group_of(cell) in groups)
    return {block: of for block, of in regrets.items() if block.budget == budget}


def _columns(store: Store, budget: int) -> dict[str, Regrets]:
    columns = {group: _of(store, budget, (group,)) for group in GROUPS}
    columns = {group: regrets for group, regrets in columns.items() if regrets}
    if len(columns) > 1:
        columns[ALL] = _of(store, budget, GROUPS)
    return columns


def _ranks(store: Store, budget: int) -> str:
    columns = {name: of for name, of in ranked(_columns(store, budget)).items() if of}
    if not columns:
        return "Not measured yet.\n"
    counts = {name: next(iter(of.values())) for name, of in columns.items()}
    heads = [f"{name} ({of.blocks} runs each, {_seeds(of.seeds)})" for name, of in counts.items()]
    order = sorted(
        (method for method in METHODS if any(method.key in of for of in columns.values())),
        key=lambda method: columns[next(reversed(columns))].get(method.key, Estimate(99, None, 0, 0)).mean,
    )
    rows = [[_name(method), *(_estimate(of.get(method.key)) for of in columns.values())] for method in order]
    return _table(["method", *heads], rows)


def _against(store: Store, budget: int) -> str:
    columns = _columns(store, budget)
    rows = []
    for method in METHODS:
        if method.key == SWIFT:
            continue
        shares = [won(regrets, SWIFT, method.key) for regrets in columns.values()]
        if any(shares):
            rows.append([method.name, *(_share(share) for share in shares)])
    return _table(["against", *columns], rows) if rows else "Not measured yet.\n"


def _simulator(store: Store, budget: int) -> str:
    rows = []
    for method in METHODS:
        by_noise = [
            mean_regret({b: of for b, of in _of(store, budget, (SIMULATOR,)).items() if b.cell.endswith(f"@{noise:g}")}, method.key)
            for noise in NOISES
        ]
        if any(by_noise):
            rows.append([_name(method), *(_mean(of) for of in by_noise)])
    if not rows:
        return ""
    heads = [f"noise {noise:g}" for noise in NOISES]
    return f"After {budget} evaluations, mean over the method's seeds, in brackets their number:\n\n" + _table(["method", *heads], rows)


def _by_problem(store: Store, budget: int) -> str:
    groups = (CLASSICAL, BBOB_NOISY, BBOB)
    regrets = _of(store, budget, groups)
    methods = [method for method in METHODS if method.key != CUBE and any(method.key in of for of in regrets.values())]
    if not methods:
        return ""
    cells = sorted({block.cell for block in regrets}, key=lambda cell: (GROUPS.index(group_of(cell)), list(GROUP_OF).index(cell.split("@")[0]), cell))
    rows = []
    for cell in cells:
        of_cell = {block: of for block, of in regrets.items() if block.cell == cell}
        name, _, noise = cell.partition("@")
        rows.append([name, noise or "own", *(_mean(mean_regret(of_cell, method.key)) for method in methods)])
    title = f"After {budget} evaluations, mean over the method's seeds, in brackets their number"
    table = _table(["problem", "noise", *(method.name for method in methods)], rows)
    return f"<details><summary>{title}</summary>\n\n{table}\n</details>\n"


def _times(store: Store) -> str:
    if not store.timings:
        return "Not measured yet: `make bench-search ONLY=times`.\n"
    rows = []
    for method in METHODS:
        if timing := store.timings.get(method.key):
            ms = sorted(timing.ms)
            cpu = f"{timing.date}, {timing.machine['cores']} cores of {timing.machine['cpu']}"
            rows.append([_name(method), quantity((ms[4] + ms[5]) / 2), quantity(ms[-1]), cpu])
    note = (
        "Milliseconds a suggestion, of the ten suggestions before 100 evaluations of Levy10 with noise 0.1, on a machine with nothing "
        "else to do (*Swift Sampler* is timed on the simulator, *cube* as the others); fitting the model is part of it. bayesian-optimization and BoTorch are given 90 evaluations of uniform points.\n\n"
    )
    return note + _table(["method", "median", "longest of ten", "measured"], rows) + "\n![Times](times.svg)\n"


def _problems() -> str:
    lines = [f"- **{group}**: {ABOUT[group]}" for group in GROUPS]
    noise = (
        f"Noise is normal, its standard deviation {', '.join(f'{noise:g}' for noise in NOISES)} of the function's own over uniform "
        "points; bbob-noisy has its own.\n"
    )
    return "\n".join([*lines, "", noise])


def _methods(store: Store) -> str:
    rows = []
    for method in METHODS:
        seeds = {group: {seed for key, cell, seed in store.runs if key == method.key and group_of(cell) == group} for group in GROUPS}
        runs = ", ".join(f"{group} {_seeds(len(of))}" for group, of in seeds.items() if of)
        packages = ", ".join(f"{name} {version}" for name, version in store.packages.get(method.key, {}).items())
        rows.append([_name(method), method.configuration, packages, runs or "none"])
    return _table(["method", "configuration", "packages", "runs"], rows)


def _plots(store: Store) -> dict[str, list[Panel]]:
    panels = []
    for budget in BUDGETS:
        groups = []
        for name, found in ranked(_columns(store, budget)).items():
            bars = [
                Bar(method.name, SWIFT if method.ours else method.key, _whisker(found[method.key]))
                for method in sorted(METHODS, key=lambda method: found[method.key].mean if method.key in found else 0)
                if method.key in found
            ]
            groups.append((name, bars))
        panels.append(Panel(f"Average rank after {budget} evaluations", "1 is best", groups))
    panels = [panel for panel in panels if any(bars for _, bars in panel.groups)]
    plots = {"ranks.svg": panels} if panels else {}
    if store.timings:
        bars = [Bar(m.name, m.key, store.timings[m.key].ms) for m in METHODS if m.key in store.timings]
        plots["times.svg"] = [Panel("A suggestion at 100 evaluations", "ms", [("", bars)])]
    return plots


def _whisker(of: Estimate) -> list[float]:
    """Returns values whose median is the mean and whose ends are the interval's."""
    return [of.mean] if of.interval is None else [of.interval[0], of.mean, of.interval[1]]


def _name(method: Method) -> str:
    return f"**{method.name}**" if method.ours else method.name


def _estimate(of: Estimate | None) -> str:
    if of is None:
        return "–"
    return f"{of.mean:.2f}" + (f" ({of.interval[0]:.2f} … {of.interval[1]:.2f})" if of.interval else "")


def _share(of: Estimate | None) -> str:
    return "–" if of is None else f"{100 * of.mean:.0f}% of {of.blocks}"


def _mean(of: Estimate | None) -> str:
    return "–" if of is None else f"{of.mean:.3g} ({of.seeds})"


def _seeds(count: int) -> str:
    return "1 seed" if count == 1 else f"{count} seeds"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"
