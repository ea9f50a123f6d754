"""The benchmark of the search, without any peer installed: functions, protocol, runs, resuming, ranks and the page."""

import dataclasses
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from bench.rows import SWIFT
from bench.search import driver, page
from bench.search.functions import FUNCTIONS, Shifted
from bench.search.methods import CUBE, METHODS, method
from bench.search.pipe import Pipe, PipeBroken
from bench.search.playing import Cell, play
from bench.search.problems import OWN_NOISE, PROBLEMS, Problem
from bench.search.scores import Block, average_ranks, mean_regret, ranks, won
from bench.search.store import Store, Timing

LEAST = {"hartmann6": -3.32237, "hartmann6-10d": -3.32237, "styblinski-tang10": -391.66166}
"""The least values in the literature; it is 0 for the others."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_least_at_its_optimum(name: str) -> None:
    function = Shifted(name, seed=3)
    assert function.best == pytest.approx(LEAST.get(name, 0.0), abs=1e-5)
    points = np.random.default_rng(1).random((2000, function.function.dimension))
    near = np.clip(function.optimum + 0.01 * (points - 0.5), 0, 1)
    assert min(function(point) for point in [*points, *near]) >= function.best - 1e-9


def test_optima_lie_elsewhere_for_every_seed() -> None:
    first, second = Shifted("levy10", 1), Shifted("levy10", 2)
    assert np.max(np.abs(first.optimum - second.optimum)) > 0.1
    assert np.max(np.abs(first.optimum - 0.5)) > 0.1


def test_four_coordinates_of_the_embedded_hartmann_do_nothing() -> None:
    functions = [Shifted("hartmann6-10d", seed) for seed in range(1, 6)]
    for function in functions:
        point = np.full(10, 0.4)
        moved = [function(np.where(np.arange(10) == axis, 0.45, point)) != function(point) for axis in range(10)]
        assert sum(moved) == 6
        assert {axis for axis in range(10) if moved[axis]} == set(function.effective)
    assert len({tuple(sorted(function.effective)) for function in functions}) > 1


class Scripted:
    """An optimiser that suggests its points in turn and recommends what it is told to."""

    def __init__(self, points: list[list[float]], recommended: list[int], eager: bool) -> None:
        self.points = iter([*points, points[0]])
        self.recommended = iter(recommended)
        self.eager = eager
        """Suggests a point more than the budget, as one that does not count does."""
        self.left = len(points)
        self.answers: list[dict] = []
        self.values: list[float] = []

    def say(self, message: dict) -> None:
        if "recommend" in message:
            self.answers.append({"index": next(self.recommended)})
            return
        if "value" in message:
            self.values.append(message["value"])
            self.left -= 1
        if self.left > 0 or self.eager:
            self.answers.append({"point": next(self.points), "ms": 1.0})

    def hear(self) -> dict:
        return self.answers.pop(0)


SLOPE_BEST = 1.0


class Slope:
    """The first coordinate, of a greatest value of one."""

    best = SLOPE_BEST

    def values(self, point: list[float]) -> tuple[float, float]:
        return point[0], point[0]

    def scale(self, spread: float) -> float:
        return 0.5

    def close(self) -> None:
        pass


SLOPE = Problem("slope", "classical", lambda seed: Slope(), dimension=2)


@pytest.mark.parametrize("eager", [False, True])
def test_the_regret_is_that_of_the_recommended_point_without_noise(eager: bool) -> None:
    points = [[number / 100, 0.5] for number in range(100)]
    talk = Scripted(points, recommended=[30, 90], eager=eager)
    outcome = play(talk, SLOPE, 0.3, seed=1, domain="cube", evaluations=100)
    assert outcome.regrets == {40: pytest.approx(0.7 / 0.5), 100: pytest.approx(0.1 / 0.5)}
    # The slope's standard deviation over uniform points is 1/sqrt(12).
    added = np.array(talk.values) - [point[0] for point in points]
    assert np.std(added) == pytest.approx(0.3 / np.sqrt(12), rel=0.2)


def test_every_method_meets_the_same_noise() -> None:
    points = [[0.5, 0.5]] * 40
    told = []
    for recommended in (0, 39):
        talk = Scripted(points, [recommended], eager=False)
        play(talk, SLOPE, 0.1, seed=1, domain="cube", evaluations=40)
        told.append(talk.values)
    assert told[0] == told[1]
    assert len(set(told[0])) == 40


def test_a_recommendation_of_what_was_not_evaluated_is_refused() -> None:
    with pytest.raises(PipeBroken, match="recommended evaluation 40 of 40"):
        play(Scripted([[0.5, 0.5]] * 40, [40], eager=False), SLOPE, 0.0, 1, "cube", 40)


def test_one_process_serves_many_runs_and_repeats_them() -> None:
    talk = Pipe(method("random").command())
    problem = next(problem for problem in PROBLEMS if problem.key == "hartmann6")
    try:
        first, other, again = (play(talk, problem, 0.1, seed, "cube", 100) for seed in (1, 2, 1))
    finally:
        talk.close()
    assert first.regrets == again.regrets != other.regrets
    assert len(first.ms) == 100
    assert 0 < first.regrets[100]


def test_a_process_that_ends_is_told_with_its_last_words() -> None:
    talk = Pipe([sys.executable, "-c", "import sys; sys.exit('no such optimiser')"])
    try:
        with pytest.raises(PipeBroken, match="no such optimiser"):
            talk.hear()
    finally:
        talk.close()


def test_noise_free_values_of_noisy_functions_are_those_met_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = iter([7.0, 0.0, 3.0, 0.0])

    class Suite:
        def __init__(self, name: str, instances: str, dimensions: str) -> None:
            assert (name, instances, dimensions) == ("bbob-noisy", "instances: 2", "dimensions: 10")

        def get_problem(self, index: int):
            # Function 107 is under normal noise, and 109 is the same under Cauchy noise.
            if index == 8:
                return lambda point: float(np.sum(point**2)) + 1000.0 + 1.01e-8 + next(noise)
            return lambda point: -1.0

    monkeypatch.setitem(sys.modules, "cocoex", types.SimpleNamespace(Suite=Suite))
    from bench.search.coco_server import CocoFunction

    function = CocoFunction("bbob-noisy", 107, instance=2, seed=1)
    assert function.observed([0.5] * 10) == -1.0
    assert function.value([0.6] * 10) == pytest.approx(10.0)


def test_equal_regrets_share_their_ranks() -> None:
    assert ranks({"a": 0.2, "b": 0.1, "c": 0.2, "d": 0.5}) == {"b": 1, "a": 2.5, "c": 2.5, "d": 4}


def test_ranks_are_averaged_over_runs_that_all_have_made() -> None:
    both = {Block("x", 40, 1): {"a": 1.0, "b": 2.0}, Block("x", 40, 2): {"a": 3.0, "b": 2.0}, Block("y", 40, 1): {"a": 1.0, "b": 2.0}}
    found = average_ranks(both | {Block("y", 40, 2): {"a": 9.0}}, ["a", "b"])
    assert found["a"].mean == pytest.approx(4 / 3)
    assert (found["a"].blocks, found["a"].seeds) == (3, 2)
    assert found["a"].interval == pytest.approx((1.0, 2.0))
    assert average_ranks({Block("x", 40, 1): {"a": 1.0, "b": 2.0}}, ["a", "b"])["a"].interval is None


def test_a_tie_is_half_a_win() -> None:
    regrets = {Block("x", 40, seed): {"a": 1.0, "b": b} for seed, b in enumerate((2.0, 1.0, 0.5, 2.0))}
    assert won(regrets, "a", "b").mean == pytest.approx(2.5 / 4)
    assert won(regrets, "a", "c") is None
    assert mean_regret(regrets, "b").mean == pytest.approx(5.5 / 4)


VERSIONS = {"random": "1", SWIFT: "1"}


def store_of(folder: Path, versions: dict[str, str] = VERSIONS) -> Store:
    return Store(folder / "results.json", folder / "runs", versions)


def plan(seeds: int) -> driver.Plan:
    (problem,) = (problem for problem in PROBLEMS if problem.key == "hartmann6")
    return driver.Plan((problem,), (0.0, 0.3), (method("random"),), seeds, evaluations=40, jobs=2)


def test_what_is_stored_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    really = driver._make

    def interrupted(talks, work, evaluations):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append((work.cell.key, work.seed))
        return really(talks, work, evaluations)

    monkeypatch.setattr(driver, "_make", interrupted)
    one_at_a_time = dataclasses.replace(plan(seeds=2), jobs=1)
    with pytest.raises(KeyboardInterrupt):
        driver.run(one_at_a_time, store_of(tmp_path))
    assert made == [("hartmann6@0", 1), ("hartmann6@0.3", 1), ("hartmann6@0", 2)]

    made.clear()
    driver.run(one_at_a_time, store_of(tmp_path))
    assert made == [("hartmann6@0.3", 2)]
    whole = store_of(tmp_path).runs
    assert sorted(seed for _, _, seed in whole) == [1, 1, 2, 2]

    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "results.json").write_text((tmp_path / "results.json").read_text())
    assert store_of(fresh).runs == whole, "results.json alone says what was run"
    assert not store_of(tmp_path, {"random": "2"}).runs, "runs of another version do not count"


def test_a_longer_run_replaces_a_shorter_one(tmp_path: Path) -> None:
    store, cell = store_of(tmp_path), Cell("levy10", 0.1)
    store.put("random", cell, 2, {40: 0.123456})
    assert store.has("random", cell, 2, 40) and not store.has("random", cell, 2, 100)
    store.put("random", cell, 2, {40: 0.123456, 100: 0.05})
    store.write()
    assert store_of(tmp_path).runs == {("random", "levy10@0.1", 2): {40: 0.1235, 100: 0.05}}
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["methods"]["random"]["runs"] == {"levy10@0.1": {"40": [None, 0.1235], "100": [None, 0.05]}}


def test_ours_on_the_cube_is_run_on_the_simulator_only() -> None:
    whole = driver.Plan(PROBLEMS, (0.0, 0.1, 0.3), METHODS, seeds=20, evaluations=100, jobs=1)
    work = list(whole.work())
    assert {run.problem.key for run in work if run.method.key == CUBE} == {"sampler"}
    cells = {run.cell for run in work}
    assert len(cells) == 3 * (1 + 6 + 24) + 30
    assert len(work) == 20 * (len(cells) * (len(METHODS) - 1) + 3)
    assert [run.seed for run in work] == sorted(run.seed for run in work)


def test_the_page_says_what_the_record_holds(tmp_path: Path) -> None:
    versions = {method.key: "1" for method in METHODS}
    store = store_of(tmp_path, versions)
    for seed in (1, 2):
        for noise in (0.0, 0.1, 0.3):
            store.put(SWIFT, Cell("sampler", noise), seed, {40: 0.1, 100: 0.05})
            store.put(CUBE, Cell("sampler", noise), seed, {40: 0.25, 100: 0.1})
            store.put("random", Cell("sampler", noise), seed, {40: 0.5, 100: 0.4})
    store.put("vizier", Cell("sampler", 0.0), 1, {40: 0.2})
    store.put("vizier", Cell("bbob-noisy-f101", OWN_NOISE), 1, {40: 0.2})
    store.timings[SWIFT] = Timing([1.0] * 9 + [3.0], {"cpu": "a CPU", "cores": 2}, "2026-01-01 00:00 UTC")
    page.write(store, tmp_path)
    text = (tmp_path / "RESULTS.md").read_text()
    assert "| method | simulator (6 runs each, 2 seeds) |" in text
    assert "| **Swift Sampler** | 1.00 (1.00 … 1.00) |" in text
    assert "| random | 2.00 (2.00 … 2.00) |" in text
    assert "| **Swift Sampler, cube** | 1.00 (1.00 … 1.00) |" in text, "it is ranked in the place of ours"
    assert "| Vizier | 100% of 1 |" in text
    assert "| Vizier | 0.2 (1) | – | – |" in text
    assert "| **Swift Sampler** | 1 | 3 | 2026-01-01 00:00 UTC, 2 cores of a CPU |" in text
    assert "| bbob-noisy-f101 | own | 0.2 (1) |" in text
    assert (tmp_path / "ranks.svg").exists() and (tmp_path / "times.svg").exists()


def test_peers_take_observations_of_points_that_they_did_not_suggest() -> None:
    talk = Pipe(method("random").command())
    try:
        talk.ask({"dimension": 2, "budget": 4, "seed": 1, "domain": "cube"})
        assert len(talk.ask({"observations": [([0.1, 0.1], 0.5), ([0.2, 0.2], 0.9)]})["point"]) == 2
        talk.ask({"value": 0.7})
        assert talk.ask({"recommend": True}) == {"index": 1}
    finally:
        talk.close()


def test_in_all_groups_those_are_ranked_that_are_ranked_in_any() -> None:
    both = {Block(f"levy10@{noise}", 40, 1): {SWIFT: 1.0, "vizier": 2.0} for noise in ("0", "0.1")}
    few = {Block(f"bbob-f{number}@0", 40, 1): {SWIFT: 2.0, "random": 1.0} for number in range(1, 9)}
    few[Block("bbob-f1@0", 40, 1)]["vizier"] = 3.0
    few[Block("levy10@0", 40, 1)] = both[Block("levy10@0", 40, 1)] | {"random": 0.5}
    columns = {"classical": both, "bbob": {block: of for block, of in few.items() if block.cell != "levy10@0"}, "all": both | few}
    found = page.ranked(columns)
    assert {key: of.mean for key, of in found["classical"].items()} == {SWIFT: 1.0, "vizier": 2.0}
    assert set(found["bbob"]) == {SWIFT, "random"}, "one of eight is too few"
    assert {key: (of.mean, of.blocks) for key, of in found["all"].items()} == {SWIFT: (2.0, 2), "random": (1.0, 2), "vizier": (3.0, 2)}


def test_a_method_alone_in_a_group_is_not_ranked() -> None:
    alone = {Block("levy10@0", 100, 1): {SWIFT: 1.0}}
    both = {Block("sampler@0", 100, 1): {SWIFT: 1.0, "random": 2.0}}
    found = page.ranked({"simulator": both, "classical": alone, "all": alone | both})
    assert found["classical"] == {}
    assert {key: of.mean for key, of in found["simulator"].items()} == {SWIFT: 1.0, "random": 2.0}
