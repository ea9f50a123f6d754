"""Every table at the paper's size is one that the searcher runs, on data of the true format."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import declaration, page, running
from experiments.declaration import DeclarationError, Run, Table
from experiments.store import Store

SEARCHER = Path(os.environ.get("SWIFTSAMPLER_BIN_DIR", declaration.FOLDER.parent / "target" / "debug")) / "searcher"
GENERATOR = np.random.default_rng(0)


def images(folder: Path, count: int) -> None:
    """Files of no common size, as those of photographs."""
    folder.mkdir(parents=True)
    for number in range(count):
        pixels = GENERATOR.integers(0, 256, (20 + number % 3, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{folder.name}_{number + 1:04}.jpg")


def cifar(folder: Path) -> None:
    """CIFAR-10's binary version, six records a file."""
    folder.mkdir()
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        records = GENERATOR.integers(0, 256, (6, 1 + 3 * 32 * 32), dtype=np.uint8)
        records[:, 0] %= 10
        (folder / f"{name}.bin").write_bytes(records.tobytes())


def imagenet(folder: Path) -> None:
    """Folders train and val, of the same classes by their WordNet names."""
    for number in range(6):
        images(folder / "train" / f"n{number:08}", 4)
        images(folder / "val" / f"n{number:08}", 2)


def ms1m(folder: Path) -> None:
    """Faces by identity, and pairs of other people's as LFW and YouTube Faces list them."""
    for number in range(4):
        images(folder / "train" / f"m.{number:05}", 6)
    for name in ("Ada_Lovelace", "Bo_Diddley"):
        images(folder / name, 3)
    same = [f"Ada_Lovelace\t{number}\t{number + 1}" for number in (1, 2)] + ["Bo_Diddley\t1\t3"] * 4
    other = [f"Ada_Lovelace\t{number}\tBo_Diddley\t{number}" for number in (1, 2, 3)] * 2
    (folder / "pairs.txt").write_text("\n".join(["2\t6", *same, *other]) + "\n")


def mini_imagenet(folder: Path) -> None:
    """Three folders of classes of their own."""
    for name, count in [("train", 4), ("val", 25), ("test", 25)]:
        for number in range(5):
            images(folder / name / f"n{name}{number}", count)


def wikitext(folder: Path) -> None:
    """Words between spaces."""
    folder.mkdir()
    for name, lines in [("train", 400), ("valid", 100), ("test", 100)]:
        text = "".join(f" = <unk> {number % 7} @-@ words = \n" for number in range(lines))
        (folder / f"wiki.{name}.tokens").write_text(text)


DATA = {"cifar": cifar, "imagenet": imagenet, "ms1m": ms1m, "mini-imagenet": mini_imagenet, "wikitext-2": wikitext}
SMALLER = ["--validation-examples", "8", "--test-examples", "1"]
"""In place of what is held out of a million images."""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> dict[str, Path]:
    """A small copy of each data set."""
    folder = tmp_path_factory.mktemp("data")
    for name, make in DATA.items():
        make(folder / name)
    return {name: folder / name for name in DATA}


def tables() -> list[Table]:
    """All tables that are declared at the paper's size."""
    found = []
    for name in declaration.names():
        try:
            found.append(declaration.load(name, "here"))
        except DeclarationError:
            continue
    return found


def command(run: Run, place: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Runs the searcher as `make experiments` does, but for sizes that few examples do not have."""
    options = running.placed(run, place)
    for name, count in zip(SMALLER[::2], SMALLER[1::2], strict=True):
        if name in options:
            options[options.index(name) + 1] = count
    subcommand = ["train"] if run.command == "train" else []
    return subprocess.run([SEARCHER, *subcommand, *options, "--data", place, *more], capture_output=True, text=True, timeout=300)


def data_of(table: Table) -> str:
    return table.data.split(":")[0]


def test_every_table_of_the_paper_but_that_of_laion_has_its_size():
    assert [table.name for table in tables()] == [name for name in declaration.names() if name != "table5"]


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name)
def test_every_run_at_the_papers_size_reads_the_data_it_is_for(table, data, tmp_path):
    place, seen = data[data_of(table)], set()
    for run in table.runs():
        # One run for each row, and one for each column.
        if {run.row, run.column} <= seen:
            continue
        seen |= {run.row, run.column}
        checked = command(run, place, "--check", "--work-dir", str(tmp_path / "work"))
        assert checked.returncode == 0, f"{run.key}: {checked.stderr}"
        assert json.loads(checked.stdout)["training_examples"] > 0
    assert not (tmp_path / "work").exists(), "nothing is trained or written"


def test_an_option_that_is_none_and_data_that_is_not_there_are_found_without_training(data, tmp_path):
    run = next(table for table in tables() if table.name == "table10").runs()[0]
    assert "--mixtape" in command(run, data["cifar"], "--check", "--mixtape").stderr
    missing = command(run, tmp_path / "none", "--check")
    assert missing.returncode != 0 and "none" in missing.stderr


def test_a_run_at_the_papers_size_trains(data, tmp_path):
    table = next(table for table in tables() if table.name == "table10")
    run = next(run for run in table.runs() if run.command == "train" and run.column == "mobilenet_v2")
    trained = command(run, data["cifar"], "--epochs", "1", "--work-dir", str(tmp_path), "--output", "json")
    assert trained.returncode == 0, trained.stderr
    assert 0.0 <= json.loads(trained.stdout)["test_accuracy"]["mean"] <= 1.0


def test_the_papers_figures_stand_beside_runs_of_their_own(tmp_path):
    for table in tables():
        for row, figures in table.figures.items():
            assert set(figures) <= set(table.row(row).columns), f"{table.name}: {row}"
        assert f"0 of {len(table.runs())} runs" in page.section(table, Store("none", tmp_path))
