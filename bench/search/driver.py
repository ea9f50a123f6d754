"""Runs what is missing, seed by seed, so that a benchmark that is stopped leaves a balanced table."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import environments, machine
from bench.rows import SWIFT
from bench.search import page
from bench.search.methods import CUBE, METHODS, Method
from bench.search.pipe import Pipe
from bench.search.playing import BUDGETS, Cell, Outcome, play
from bench.search.problems import BBOB, BBOB_NOISY, COCO_ENVIRONMENT, OWN_NOISE, PROBLEMS, SIMULATOR, Problem
from bench.search.store import Store, Timing

FOLDER = machine.ROOT / "bench" / "search"
RUNS = environments.CACHE / "search-runs"
LAST_SUGGESTIONS = 10
TIMED = Cell("levy10", 0.1)
"""What times are measured on: a continuous function with noise, in ten dimensions."""
TIMED_OURS = Cell("sampler", 0.1)
"""Ours with its kernel on what samplers do; *cube* is timed as the peers are."""
TIMED_SEED = 1
WRITTEN_EVERY_SECONDS = 60


@dataclass(frozen=True)
class Work:
    """One run to be made."""

    method: Method
    problem: Problem
    cell: Cell
    seed: int


@dataclass(frozen=True)
class Plan:
    """What is to be run."""

    problems: tuple[Problem, ...]
    noises: tuple[float, ...]
    """Of those problems that have none of their own."""
    methods: tuple[Method, ...]
    seeds: int
    evaluations: int
    jobs: int

    def work(self) -> Iterator[Work]:
        """Returns all runs in their order: every cell by every method, then the next seed."""
        for seed in range(1, self.seeds + 1):
            for problem in self.problems:
                for noise in (noise for noise in problem.noises if noise in (*self.noises, OWN_NOISE)):
                    for method in self.methods:
                        if method.key != CUBE or problem.group == SIMULATOR:
                            yield Work(method, problem, Cell(problem.key, noise), seed)


def opened(folder: Path = FOLDER) -> Store:
    """Opens the record."""
    return Store(folder / "results.json", RUNS, {method.key: method.version() for method in METHODS})


def set_up(plan: Plan) -> None:
    """Installs what the plan needs; does nothing for what is installed already."""
    for name in sorted({method.environment for method in plan.methods} - {""}):
        peers = [method for method in METHODS if method.environment == name]
        others = ",".join(method.key for method in METHODS if method.environment != name)
        environments.install(
            f"search-{name}", peers[0].requirements(), [method.name for method in peers], f"METHODS='{others}'"
        )
    if any(problem.group in (BBOB, BBOB_NOISY) for problem in plan.problems):
        requirements = FOLDER / "peers" / "requirements-coco.txt"
        environments.install(COCO_ENVIRONMENT, requirements, ["COCO"], "ONLY='simulator,classical'")


class Talks:
    """The optimisers' processes: one a method and thread, since their libraries take seconds to start. Ours ends with each run."""

    def __init__(self) -> None:
        self.local = threading.local()
        self.all: list[Pipe] = []

    def of(self, method: Method) -> Pipe:
        """Returns a process that is ready for a run."""
        known: dict[str, Pipe] = self.local.__dict__.setdefault("pipes", {})
        if method.ours or method.key not in known:
            if method.key in known:
                known.pop(method.key).close()
            known[method.key] = Pipe(method.command())
            self.all.append(known[method.key])
        return known[method.key]

    def drop(self, method: Method) -> None:
        """Ends a method's process."""
        if pipe := self.local.__dict__.get("pipes", {}).pop(method.key, None):
            pipe.close()

    def close(self) -> None:
        """Ends all processes."""
        for pipe in self.all:
            pipe.process.kill()


def run(plan: Plan, store: Store) -> None:
    """Makes the runs of the plan that are not stored; prints a line a run, with the time that is left."""
    missing = [work for work in plan.work() if not store.has(work.method.key, work.cell, work.seed, plan.evaluations)]
    progress = _Progress(missing, plan.jobs)
    talks = Talks()
    for method in {work.method for work in missing}:
        store.packages[method.key] = method.installed()
    executor = ThreadPoolExecutor(plan.jobs)
    try:
        running: dict[Future[tuple[Outcome, float]], Work] = {}
        queue = iter(missing)
        written = time.monotonic()
        while True:
            while len(running) < plan.jobs and (work := next(queue, None)):
                running[executor.submit(_make, talks, work, plan.evaluations)] = work
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                work = running.pop(future)
                outcome, seconds = future.result()
                store.put(work.method.key, work.cell, work.seed, outcome.regrets)
                progress.ended(work, seconds)
            if time.monotonic() > written + WRITTEN_EVERY_SECONDS:
                write(store)
                written = time.monotonic()
    finally:
        talks.close()
        executor.shutdown(cancel_futures=True)
        write(store)


def measure_times(plan: Plan, store: Store) -> None:
    """Measures how long the plan's methods take to suggest, one after another; nothing else should be running."""
    for method in plan.methods:
        timed = TIMED_OURS if method.key == SWIFT else TIMED
        problem = next(problem for problem in PROBLEMS if problem.key == timed.problem)
        talk = Pipe(method.command())
        try:
            ms = _times(talk, method, problem)
        finally:
            talk.close()
        last = [round(of, 3) for of in ms]
        store.refresh()
        store.timings[method.key] = Timing(last, machine.describe(), machine.now())
        store.packages.setdefault(method.key, method.installed())
        write(store)
        print(f"{method.name}: {sorted(last)[len(last) // 2]:.3g} ms a suggestion", flush=True)


def _times(talk: Pipe, method: Method, problem: Problem) -> list[float]:
    if not method.replayable:
        outcome = play(talk, problem, TIMED.noise, TIMED_SEED, method.domain, max(BUDGETS))
        return outcome.ms[-LAST_SUGGESTIONS:]
    points = np.random.default_rng(TIMED_SEED).random((max(BUDGETS), problem.dimension)).tolist()
    evaluation = problem.start(TIMED_SEED)
    told = [(point, evaluation.values(point)[0]) for point in points[:-LAST_SUGGESTIONS]]
    talk.ask({"dimension": problem.dimension, "budget": max(BUDGETS), "seed": TIMED_SEED, "domain": "cube"})
    suggested = [talk.ask({"observations": told})]
    while len(suggested) < LAST_SUGGESTIONS:
        suggested.append(talk.ask({"value": evaluation.values(suggested[-1]["point"])[0]}))
    return [of["ms"] for of in suggested]


def write(store: Store) -> None:
    """Writes the record, the table and the plots, in the record's folder."""
    store.refresh()
    store.write()
    page.write(store, store.path.parent)


def _make(talks: Talks, work: Work, evaluations: int) -> tuple[Outcome, float]:
    start = time.monotonic()
    try:
        talk = talks.of(work.method)
        outcome = play(talk, work.problem, work.cell.noise, work.seed, work.method.domain, evaluations)
    except BaseException:
        # It may be in the middle of something.
        talks.drop(work.method)
        raise
    return outcome, time.monotonic() - start


class _Progress:
    """Knows how long a method's runs take, and from that what is left."""

    def __init__(self, missing: list[Work], jobs: int) -> None:
        self.start = time.monotonic()
        self.count = len(missing)
        self.left: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.jobs = jobs
        for work in missing:
            self.left[work.method.key] += 1

    def ended(self, work: Work, seconds: float) -> None:
        self.left[work.method.key] -= 1
        self.seconds[work.method.key].append(seconds)
        means = {key: sum(of) / len(of) for key, of in self.seconds.items()}
        guess = sum(means.values()) / len(means)
        left = sum(count * means.get(key, guess) for key, count in self.left.items()) / self.jobs
        done = self.count - sum(self.left.values())
        print(
            f"[{_clock(time.monotonic() - self.start)}] {done} of {self.count}: {work.cell.key} seed {work.seed}, "
            f"{work.method.name}, {seconds:.1f} s; about {_clock(left)} left",
            flush=True,
        )


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
