"""What sections are made of. Nothing is timed, nothing started."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench import features
from bench.driver import in_turns
from bench.measuring import Arm
from bench.peers.memory import resident_bytes
from bench.record import Sample
from bench.sections.clients import fairness


def test_arms_are_measured_in_turns() -> None:
    arms = [Arm("once", list, repeats=1), Arm("a", list), Arm("b", list)]
    assert [arm.who for _, arm in in_turns(arms, 2)] == ["once", "a", "b", "a", "b"]


def test_a_program_may_say_who_was_measured() -> None:
    assert Sample.parse('{"row": "open", "value": 2}', "swift") == Sample("open", "swift", 2.0)
    assert Sample.parse('{"row": "open", "value": 2, "who": "tonic"}', "swift").who == "tonic"


def test_made_up_features_are_the_same_for_the_same_seed(tmp_path: Path) -> None:
    one = features.write_shards(tmp_path / "one", 1001, 3)
    other = features.write_shards(tmp_path / "other", 1001, 3)
    tables = [pq.read_table(file) for file in one]
    assert [table.num_rows for table in tables] == [333, 334, 334]
    assert all(table.equals(pq.read_table(file)) for table, file in zip(tables, other, strict=True))
    assert not tables[1].equals(tables[2])
    assert features.spec(3) == features.spec(3) != features.spec(4)


def test_fairness_is_one_where_shares_are_equal_and_one_in_n_where_one_has_all() -> None:
    assert fairness([5.0, 5.0, 5.0]) == pytest.approx(1)
    assert fairness([0.0, 9.0, 0.0]) == pytest.approx(1 / 3)


def test_this_process_takes_memory() -> None:
    assert resident_bytes() > 0
