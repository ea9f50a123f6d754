"""Declarations say what to run, and the page shows what came of it."""

import json
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from experiments import curves, declaration, loss_curves, page, running, serving
from experiments.declaration import DeclarationError, parse
from experiments.store import Store
from experiments.values import cell, paired_difference

ROOT = Path(__file__).resolve().parent.parent.parent


def declared() -> dict:
    return {
        "title": "T", "paper": "P", "setting": ["S."], "data": "fashion-mnist", "options": ["--target", "mlp"], "seeds": [0, 1],
        "columns": {"low": ["--label-noise", "0"], "high": ["--label-noise", "0.4"]}, "column_title": "noise", "baseline": "uniform",
        "rows": {
            "uniform": {"train": []},
            "found": {"search": ["--trials", "5"]},
            "carried over": {"train": [], "sampler_of": {"row": "found", "column": "high"}, "columns": ["low"]},
        },
        "figures": {"uniform": {"low": 93.3}},
    }  # fmt: skip


def small(**changes: object):
    return parse("small", declared() | changes)


def report_of(run, accuracy: float) -> dict:
    summary = {"mean": accuracy, "sd": 0.0, "values": [accuracy]}
    return {"test_accuracy": summary} if run.command == "train" else {"samplers": [{"name": "found", "test_accuracy": summary}]}


def test_a_run_follows_the_one_whose_sampler_it_takes():
    runs = small().runs()
    assert len(runs) == 4 + 4 + 2
    assert all(run.sampler_of is None for run in runs[:-2])
    assert [run.sampler_of.column for run in runs[-2:]] == ["high", "high"]
    assert runs[0].options == ("--target", "mlp", "--label-noise", "0")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": {"a": {}}}, "one of search, train and reads"),
        ({"rows": {"a": {"train": [], "columns": ["none"]}}}, "column 'none'"),
        ({"rows": {"a": {"reads": "b"}}}, "row 'b'"),
        ({"colums": {}}, "unknown colums"),
    ],
)
def test_a_declaration_that_says_nothing_to_run_is_refused(changes, message):
    with pytest.raises(DeclarationError, match=message):
        small(**changes)


def test_results_are_kept_and_made_again_when_their_declaration_changes(tmp_path):
    table, store = small(), Store("small", tmp_path)
    for run in table.runs():
        store.put(run, {"report": report_of(run, 0.8), "commit": "c", "machine": "m"})
    assert Store("small", tmp_path).missing(table) == []
    changed = small(options=["--target", "cnn"])
    assert len(Store("small", tmp_path).missing(changed)) == 10


def test_pictures_are_of_the_first_column_and_seed_and_shown_once_they_are_there(tmp_path):
    table = small(rows={"found": {"search": [], "pictures": ["heat_map.svg"]}}, baseline=None, figures={})
    with_pictures = [run for run in table.runs() if run.pictures]
    assert [(run.column, run.seed) for run in with_pictures] == [("low", 0)]
    store = Store("small", tmp_path)
    shown = "![found, seed 0](experiments/results/small-heat_map.svg)"
    assert shown not in page.section(table, store)
    store.put(with_pictures[0], {"report": report_of(with_pictures[0], 0.8), "commit": "c", "machine": "m"})
    assert shown in page.section(table, store)


def test_a_row_may_show_another_value_of_another_rows_runs(tmp_path):
    ranking = {"spearman": 0.5, "p": 0.2, "pairs": [[0.6, 0.81], [0.7, 0.80], [0.65, 0.83], [0.5, 0.79]]}
    rows = {"search": {"search": []}, "p": {"reads": "search", "value": "rank_p"}, "rank": {"reads": "search", "value": "true_rank_of_best"}}
    table, store = small(value="rank_correlation", rows=rows, baseline="search", figures={}), Store("small", tmp_path)
    for run in table.runs():
        store.put(run, {"report": {"ranking": ranking}, "commit": "c", "machine": "m"})
    text = page.section(table, store)
    assert "| **search** | 0.50 ± 0.00 |" in text and "| **p** | 0.20 ± 0.00 |" in text
    # The short trials' best is third from scratch.
    assert "| **rank** | 3.00 ± 0.00 |" in text
    assert "minus" not in text


def test_outcomes_have_the_confidence_interval_of_students_t(tmp_path):
    table, store = declaration.load("table1"), Store("table1", tmp_path)
    for run in table.runs():
        if run.row in ("uniform", "Swift Sampler") and run.column == "0.4":
            gain = [0.04, 0.05, 0.06, 0.05, 0.05][run.seed] if run.row == "Swift Sampler" else 0.0
            store.put(run, {"report": report_of(run, 0.7 + gain), "commit": "c", "machine": "m"})
    # By R: t.test(c(4, 5, 6, 5, 5)) has mean 5 and the interval 4.122011 to 5.877989.
    assert page.outcomes(table, store).splitlines()[0] == "- Swift Sampler minus uniform: **+5.00** (+4.12 to +5.88; 5 seeds)"
    assert page.outcomes(table, store).splitlines()[1] == "- Swift Sampler minus Learning to Reweight: not run"


def test_table_5_shows_what_the_benchmark_of_as_many_examples_measured(tmp_path):
    assert "| opening 5·10^8 examples again" in serving.section()
    assert "not run" in serving.section(tmp_path / "none.json")


def test_tables_that_ask_for_the_same_run_share_its_result_but_times_are_measured_anew(tmp_path):
    reordered = {"options": ["--trials", "5"], "rows": {"found": {"search": ["--target", "mlp"]}}, "baseline": None, "figures": {}}
    table, other, timed = small(), parse("other", declared() | reordered), parse("timed", declared() | reordered | {"value": "seconds"})
    store = Store("small", tmp_path)
    for run in table.runs():
        store.put(run, {"report": report_of(run, 0.8), "commit": "c", "machine": "m"})
    assert Store("other", tmp_path).missing(other) == []
    assert len(Store("timed", tmp_path).missing(timed)) == 4


def test_a_run_that_fails_does_not_keep_others_from_being_made(tmp_path, monkeypatch):
    table, store = small(), Store("small", tmp_path)

    def search(run, *_: object) -> dict:
        if (run.column, run.seed) == ("high", 1):
            sys.exit("it diverged")
        return report_of(run, 0.8) | {"winner": {"sampler": {"kind": "uniform"}}}

    monkeypatch.setattr(running, "Samplerd", lambda _: nullcontext(SimpleNamespace(grpc="")))
    monkeypatch.setattr(running, "search", search)
    monkeypatch.setattr(running, "binary", str)
    monkeypatch.setattr(running, "call", lambda *_, **__: '{"test_accuracy": 0.8}')
    monkeypatch.setattr(running, "ROOT", tmp_path)
    assert running.make(table, store, 2, str(tmp_path), seeds={0}) == []
    assert {run.seed for run in store.missing(table)} == {1}, "the runs of other seeds are left for later"
    assert running.make(table, store, 2, str(tmp_path)) == ["small: found | high | 1", "small: carried over | low | 1"]
    assert len(store.missing(table)) == 2


def test_cells_are_means_over_seeds_and_differences_are_paired(tmp_path):
    table, store = small(), Store("small", tmp_path)
    for run in table.runs():
        accuracy = 0.7 + 0.1 * run.seed + (0.05 if run.row == "found" else 0.0)
        if (run.row, run.column, run.seed) != ("found", "low", 1):
            store.put(run, {"report": report_of(run, accuracy), "commit": "c", "machine": "m"})
    high = [cell(table, store, table.row(row), "high") for row in ("uniform", "found")]
    assert high[0].mean == pytest.approx(0.75) and high[0].deviation == pytest.approx(0.0707, abs=1e-4)
    assert paired_difference(high[1], high[0]).deviation == pytest.approx(0.0, abs=1e-12)
    text = page.section(table, store)
    assert "| **uniform** | 75.0 ± 7.1 | 75.0 ± 7.1 |" in text
    assert "| the paper's | 93.3 |  |" in text
    assert "| minus uniform | +5.0 | +5.0 ± 0.0 |" in text
    assert "(1 seeds)" in text and "9 of 10 runs" in text


def test_curves_rise_with_the_best_objective_so_far(tmp_path):
    table = small(value="best_objective", columns={"best": []}, baseline=None, figures={}, rows={"a": {"search": []}, "b": {"search": ["--x"]}})
    store = Store("small", tmp_path)
    assert curves.draw(table, store, tmp_path / "none.svg") is None
    for run in table.runs():
        objectives = [0.5, None, 0.4, 0.7 if run.seed else 0.9]
        store.put(run, {"report": {"objectives": objectives}, "commit": "c", "machine": "m"})
    assert curves.best_so_far(table, store, table.row("a")) == [0.5, 0.5, 0.5, 0.8]
    drawn = curves.draw(table, store, tmp_path / "some.svg").read_text()
    assert drawn.count("<polyline") == 2 and "a: 80.0" in drawn


def test_results_at_the_papers_size_are_of_the_data_they_name(tmp_path, monkeypatch):
    table, other = (declaration.load("table1", data) for data in ("cifar-10", "cifar-100"))
    assert {run.digest for run in table.runs()}.isdisjoint(run.digest for run in other.runs())
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    assert page.full_sections() == []
    store = Store("table1-full-cifar-100", tmp_path)
    for run in other.runs()[:3]:
        store.put(run, {"report": report_of(run, 0.5), "commit": "c", "machine": "m"})
    (shown,) = page.full_sections()
    assert "at the paper's size on cifar-100" in shown and "resnet18" in " ".join(other.options)
    assert f"3 of {len(other.runs())} runs" in shown


def test_the_loss_curves_of_a_figure_are_a_line_a_seed_and_their_mean(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "FOLDER", tmp_path)
    table, store = small(columns={"best": []}, rows={"found": {"search": []}}, baseline=None, figures={}), Store("small", tmp_path)
    assert loss_curves.panels(table, store) == {}
    for run in table.runs():
        curve = [2.0, 1.0, 0.0, run.seed]
        store.put(run, {"report": {"winner": {"by_percentile": {"loss": curve}}}, "commit": "c", "machine": "m"})
    assert loss_curves.panels(table, store) == {"found": [[2.0, 1.0, 0.0, 0], [2.0, 1.0, 0.0, 1]]}
    drawn = loss_curves.svg(loss_curves.panels(table, store))
    lines = re.findall(r'<polyline .*points="([^"]*)"', drawn)
    heights = [[float(point.split(",")[1]) for point in line.split()] for line in lines]
    assert len(lines) == 3 and heights[2][3] == pytest.approx((heights[0][3] + heights[1][3]) / 2, abs=0.1)
    assert heights[0][0] < heights[0][1] < heights[0][2], "more probable is higher"
    assert loss_curves.lines(table, store) == [], "of the tables that are to show it"
    figure = declaration.load("figure2")
    for run in figure.runs():
        store.put(run, {"report": {"winner": {"by_percentile": {"loss": [1.0] * 40}}}, "commit": "c", "machine": "m"})
    assert loss_curves.lines(figure, store)[0].endswith("experiments/results/small-loss.svg)")
    assert (tmp_path / "small-loss.svg").read_text().count("<polyline") == 6


def test_every_declared_table_can_be_read_and_its_paper_figures_have_cells():
    assert declaration.names()[0] == "table1"
    for name in declaration.names():
        table = declaration.load(name)
        assert len({run.key for run in table.runs()}) == len(table.runs())
        for row, figures in table.figures.items():
            assert set(figures) <= set(table.columns), f"{name}: {row}"
            table.row(row)
    with pytest.raises(DeclarationError, match="table1"):
        declaration.load("table99")


def test_every_option_of_a_table_is_one_of_the_searchers():
    source = "".join(path.read_text() for path in sorted((ROOT / "searcher/src/cli").glob("*.rs"))) + (ROOT / "searcher/src/cli.rs").read_text()
    # A field `label_noise` of an option group is --label-noise on the command line.
    known = {"--" + name.replace("_", "-") for name in re.findall(r"^    (?:pub(?:\([a-z]+\))? )?([a-z_]+): ", source, re.MULTILINE)}
    for name in declaration.names():
        text = (declaration.TABLES / f"{name}.json").read_text()
        options = set(re.findall(r'"(--[a-z-]+)"', text))
        assert options <= known | {"--data"}, f"{name}: {options - known}"


def test_the_page_that_is_committed_is_the_one_of_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "PAGE", tmp_path / "EXPERIMENTS.md")
    monkeypatch.setattr(curves, "FOLDER", tmp_path)
    page.write()
    assert page.PAGE.read_text() == (ROOT / "EXPERIMENTS.md").read_text(), "run `python -m experiments --page`"


def test_a_name_that_is_no_table_ends_with_those_that_are():
    ended = subprocess.run(["python3", "-m", "experiments", "none"], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1 and "table1" in ended.stderr
    assert json.loads((declaration.TABLES / "table1.json").read_text())["seeds"] == [0, 1, 2, 3, 4]
