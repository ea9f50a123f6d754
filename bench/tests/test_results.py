"""The table and the plots say what the record holds, and the list of rows is what the sections measure. Nothing is timed."""

import ast
import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import environments, plots, sections, table
from bench.record import Results, Sample, SectionRecord, check_complete, check_rows
from bench.rows import ROWS, SECTIONS, SWIFT, WRS, Target

FIXTURE = Path(__file__).parent / "results.json"
BENCH = Path(__file__).resolve().parent.parent


def record(section: str, *samples: Sample, **changes: object) -> SectionRecord:
    machine = {"cpu": "a CPU", "cores": 2, "memory_gib": 8.0, "kernel": "6.1"}
    plain = SectionRecord("abc", "2026-01-01 00:00 UTC", "full", machine, {"torch": "2.11.0"}, 9.0, samples)
    check_rows(section, samples)
    return dataclasses.replace(plain, **changes)


def of(folder: Path, **records: SectionRecord) -> Results:
    results = Results(folder / "results.json")
    for section, value in records.items():
        results.put(section, value)
    return results


def line(page: str, what: str) -> list[str]:
    lines = [line for line in page.splitlines() if line.startswith("|") and what in line]
    assert len(lines) == 1, f"{what!r} is in {len(lines)} lines"
    return [cell.strip() for cell in lines[0].strip("|").split("|")]


def test_the_fixture_renders_as_it_did() -> None:
    page = table.render(Results(FIXTURE), {"draws.svg"})
    cells = line(page, "one thread, with probability, 10^5 cells")
    assert cells[1:] == [
        "120 M draws/s (110 M … 130 M)", "≥ 100 M draws/s", "rand_distr (SmallRng)", "60 M draws/s", "2", "reached",
    ]  # fmt: skip
    assert "| rand_distr (StdRng) | 20 M draws/s | 6 |" in page
    assert "![Draws a second by cells](draws.svg)" in page
    assert "Not measured yet: `make bench ONLY=large`" in page


def test_a_verdict_follows_the_median_and_the_target(tmp_path: Path) -> None:
    slow = [Sample("python-256-p99", SWIFT, value) for value in (0.5, 3.0, 4.0)]
    page = table.render(of(tmp_path, serving=record("serving", *slow)), set())
    assert line(page, "99th percentile between batches, batch 256")[-1] == "**not reached**"


def test_small_sizes_and_fallbacks_are_not_judged(tmp_path: Path) -> None:
    sample = Sample("open", SWIFT, 1.0)
    small = table.render(of(tmp_path / "a", large=record("large", sample, scale="small")), set())
    assert line(small, "opening 5·10^8")[-1] == "not judged"
    noted = record("large", sample, notes={"open": "measured with 50,000,000 rows"})
    page = table.render(of(tmp_path / "b", large=noted), set())
    assert line(page, "opening 5·10^8")[-1] == "not judged: see below"
    assert "- **open**: measured with 50,000,000 rows" in page


def test_a_peer_left_out_is_named(tmp_path: Path) -> None:
    skipped = record("serving", Sample("rust-256", SWIFT, 5e7), skipped_peers=("tonic",))
    page = table.render(of(tmp_path, serving=skipped), set())
    assert line(page, "served to a Rust client, batch 256")[3:5] == ["tonic", "left out"]
    assert "Left out on purpose (SKIP_PEERS): tonic." in page


def test_a_target_may_be_a_peer_or_another_row() -> None:
    times = Target("", times=5, against=WRS)
    assert times.reached(10.0, {WRS: 2.0}, True, {}) is True
    assert times.reached(10.0, {WRS: 49.0}, False, {}) is False
    assert times.reached(10.0, {}, True, {}) is None
    other = Target("", as_in_row="resume-0")
    assert other.reached(3.0, {}, False, {"resume-0": 1.0}) is True
    assert other.reached(3.1, {}, False, {"resume-0": 1.0}) is False
    assert other.reached(3.1, {}, False, {}) is None


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    draws = record("draws", Sample("draws-stratified", SWIFT, 2.5e7, {"cells": 3}), notes={"draws-stratified": "note"})
    of(tmp_path, draws=draws)
    assert Results(tmp_path / "results.json").sections == {"draws": draws}


def test_samples_of_unknown_rows_or_peers_are_refused() -> None:
    with pytest.raises(KeyError, match="no row 'nothing'"):
        check_rows("draws", [Sample("nothing", SWIFT, 1.0)])
    with pytest.raises(ValueError, match="of section 'large'"):
        check_rows("draws", [Sample("open", SWIFT, 1.0)])
    with pytest.raises(ValueError, match="no peer 'Reverb'"):
        check_rows("draws", [Sample("draws-stratified", "Reverb", 1.0)])


def test_a_peer_that_was_not_measured_is_an_error() -> None:
    ours = [Sample(row.key, SWIFT, 1.0) for row in ROWS if row.section == "serving"]
    with pytest.raises(ValueError, match="tonic in row 'rust-256'"):
        check_complete("serving", ours, frozenset())
    check_complete("serving", ours, frozenset(peer for row in ROWS for peer in row.peers))


def test_plots_are_well_formed_and_leave_out_what_was_not_measured(tmp_path: Path) -> None:
    assert plots.draw(Results(FIXTURE), tmp_path) == {"draws.svg"}
    root = ElementTree.parse(tmp_path / "draws.svg").getroot()
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "120 M" in texts and "5·10^7 examples" not in texts


def test_every_section_is_run_and_every_environment_is_described() -> None:
    assert tuple(sections.SECTIONS) == SECTIONS
    for name in set(environments.ENVIRONMENT_OF.values()) - {environments.OWN}:
        assert (environments.REQUIREMENTS / f"requirements-{name}.txt").is_file()
        assert name in environments.PACKAGES


def test_every_row_is_named_where_it_is_measured() -> None:
    patterns = [pattern for file in sources() for pattern in literals(file)]
    for row in ROWS:
        assert any(re.fullmatch(pattern, row.key) for pattern in patterns), f"nothing measures {row.key}"


def sources() -> Iterator[Path]:
    for folder in ("sections", "peers", "python"):
        yield from (BENCH / folder).glob("*.py")


def literals(file: Path) -> Iterator[str]:
    """Yields what strings of a program can be, as regular expressions; an `N` at the end stands for a number."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.JoinedStr):
            fixed = [part.value for part in node.values if isinstance(part, ast.Constant)]
            if any(fixed):
                yield "".join(re.escape(p.value) if isinstance(p, ast.Constant) else r"\w+" for p in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"-N$", r"-\\d+", re.escape(node.value).replace(r"\-N", "-N"))
