"""`make bench-search`: see CONTRIBUTING.md.

Environment: ONLY=simulator,levy10 runs these groups or problems, `all` every one, `times` measures the time of a suggestion,
`table` writes the page again; METHODS=swift,random runs these, `all` Vizier too; NOISES=0,0.3; SEEDS=20 runs seeds 1 to 20; BUDGET=100 evaluations; JOBS=2
runs at a time. What is stored is not run again.
"""

import os
import sys

from bench.alone import alone
from bench.environments import PeerMissing
from bench.search import driver
from bench.search.driver import Plan
from bench.search.methods import METHODS, Method
from bench.search.pipe import PipeBroken
from bench.search.playing import BUDGETS
from bench.search.problems import CLASSICAL, GROUPS, NOISES, PROBLEMS, SIMULATOR, Problem

TIMES, TABLE, ALL = "times", "table", "all"
DEFAULT_ONLY = [SIMULATOR, CLASSICAL]
"""With one seed and 40 evaluations, about half an hour of a core."""
SLOW = ("vizier",)
"""Run only where METHODS names it: it traces and compiles its program again for every suggestion, some 13 s of a core."""


class Usage(Exception):
    """A setting names nothing that there is."""


def main() -> int:
    try:
        only = _list("ONLY") or DEFAULT_ONLY
        plan = _plan([name for name in only if name not in (TIMES, TABLE)])
        driver.set_up(plan)
        store = driver.opened()
        if TIMES in only:
            with alone():
                driver.measure_times(plan, store)
        driver.run(plan, store)
    except Usage as error:
        print(f"bench-search: {error}", file=sys.stderr)
        return 2
    except (PeerMissing, PipeBroken) as error:
        print(f"bench-search: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench-search: interrupted; runs that have ended are kept", file=sys.stderr)
        return 130
    print(f"The table is in {driver.FOLDER / 'RESULTS.md'}")
    return 0


def _plan(only: list[str]) -> Plan:
    return Plan(
        problems=_problems(only),
        noises=_noises(),
        methods=_methods(),
        seeds=_whole("SEEDS", "1", range(1, 1000)),
        evaluations=_whole("BUDGET", str(BUDGETS[0]), BUDGETS),
        jobs=_whole("JOBS", "1", range(1, 257)),
    )


def _problems(only: list[str]) -> tuple[Problem, ...]:
    known = {ALL, *GROUPS, *(problem.key for problem in PROBLEMS)}
    if unknown := [name for name in only if name not in known]:
        groups = ", ".join((ALL, TIMES, TABLE, *GROUPS))
        raise Usage(f"ONLY names nothing {unknown[0]!r}: there are {groups}, and problems such as {PROBLEMS[1].key}")
    in_order = [problem for group in GROUPS for problem in PROBLEMS if problem.group == group]
    return tuple(problem for problem in in_order if {ALL, problem.group, problem.key} & set(only))


def _methods() -> tuple[Method, ...]:
    keys = [method.key for method in METHODS]
    wanted = _list("METHODS") or [key for key in keys if key not in SLOW]
    wanted = keys if wanted == [ALL] else wanted
    if unknown := [key for key in wanted if key not in keys]:
        raise Usage(f"METHODS names no method {unknown[0]!r}: the methods are {ALL}, or {', '.join(keys)}")
    return tuple(method for method in METHODS if method.key in wanted)


def _noises() -> tuple[float, ...]:
    wanted = _list("NOISES") or [f"{noise:g}" for noise in NOISES]
    known = {f"{noise:g}": noise for noise in NOISES}
    if unknown := [noise for noise in wanted if noise not in known]:
        raise Usage(f"NOISES names {unknown[0]!r}: the noises are {', '.join(known)}")
    return tuple(known[noise] for noise in wanted)


def _whole(variable: str, default: str, allowed: range | tuple[int, ...]) -> int:
    text = os.environ.get(variable) or default
    if not text.isdecimal() or int(text) not in allowed:
        limits = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else " or ".join(map(str, allowed))
        raise Usage(f"{variable} is {text!r}: {limits}")
    return int(text)


def _list(variable: str) -> list[str]:
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


if __name__ == "__main__":
    sys.exit(main())
