"""A dataset as large as one host is meant to hold: import, opening, hot swap, memory."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import daemon, features, machine
from bench.measuring import Arm, Context, ours_in_python
from bench.peers.memory import status_bytes
from bench.record import Sample
from bench.rows import ROWS, SWIFT
from bench.sections.memory import served
from processes import Samplerd

SHARDS = 20
DISK_BYTES_A_ROW = 64
"""Shards, columns, order and what an import sorts on disk."""
MEMORY_BYTES_A_ROW = 16
LOOK_SECONDS = 0.05
GB = 1e9


@contextmanager
def large(context: Context) -> Iterator[list[Arm]]:
    examples = _examples(context)
    dataset = LargeDataset(context, examples)
    yield [
        Arm(f"{SWIFT}, import of {examples:,} rows", dataset.import_, repeats=1),
        Arm(f"{SWIFT}, opening", dataset.open),
        Arm(f"{SWIFT}, swap, {context.scale.repeats} times", dataset.swap, repeats=1),
        Arm(f"{SWIFT}, memory", lambda: [served(context, "large-memory", examples)], repeats=1),
    ]


def _examples(context: Context) -> int:
    """Returns how many rows there is room for."""
    wanted, fallback = context.scale.examples_large, context.scale.examples_large_fallback
    disk, memory = shutil.disk_usage(context.folder).free, machine.memory_available_bytes()
    needs = f"{wanted:,} rows need {wanted * DISK_BYTES_A_ROW / GB:.0f} GB of disk under .cache/bench and {wanted * MEMORY_BYTES_A_ROW / GB:.0f} GB of memory"
    if disk >= wanted * DISK_BYTES_A_ROW and memory >= wanted * MEMORY_BYTES_A_ROW:
        return wanted
    if disk < fallback * DISK_BYTES_A_ROW or memory < fallback * MEMORY_BYTES_A_ROW:
        raise RuntimeError(f"{needs}, and there is no room for {fallback:,} rows either")
    reason = f"measured with {fallback:,} rows, as {needs}, and there were {disk / GB:.0f} and {memory / GB:.0f} GB"
    context.notes |= {row.key: reason for row in ROWS if row.section == "large"}
    return fallback


class LargeDataset:
    """The dataset, imported once, and what is measured of it; the daemon is started anew for each."""

    def __init__(self, context: Context, examples: int) -> None:
        self.context = context
        self.examples = examples
        self.folder = context.folder / "daemon"

    def import_(self) -> list[Sample]:
        """Writes the shards, imports them while looking at the daemon's memory, and deletes them."""
        shards = self.context.folder / "shards"
        processes = machine.describe()["cores"]
        files = features.write_shards(shards, self.examples, SHARDS, processes=processes)
        details = {"examples": self.examples, "parquet_bytes": sum(file.stat().st_size for file in files)}
        with Samplerd(self.folder) as samplerd, LargestMemory(samplerd.process.pid) as memory:
            start = time.monotonic()
            samplerd.ctl("dataset", "import", daemon.DATASET, *files)
            seconds = time.monotonic() - start
            size = size_bytes(self.folder / "data")
            shutil.rmtree(shards)
            daemon.activate(samplerd, daemon.put(samplerd, self.context.folder, 0))
        peak = {"final_bytes": size, "resident_bytes": memory.resident, "anonymous_bytes": memory.anonymous}
        return [
            Sample("import-rate", SWIFT, self.examples / seconds, details | {"seconds": seconds}),
            Sample("import-memory", SWIFT, memory.resident / size, peak),
        ]

    def open(self) -> list[Sample]:
        """Starts the daemon and draws a first batch."""
        start = time.monotonic()
        with Samplerd(self.folder) as samplerd:
            ready = time.monotonic() - start
            parameters = ("--job", "open", "--seed", "1", "--batch-size", "256", "--steps", "0..1")
            samplerd.ctl("draw", daemon.DATASET, *parameters)
            seconds = time.monotonic() - start
        return [Sample("open", SWIFT, 1e3 * seconds, {"examples": self.examples, "ready_ms": 1e3 * ready})]

    def swap(self) -> list[Sample]:
        """Swaps samplers under a stream, once the daemon has checked the dataset."""
        rows = ("--first-row", "large-swap", "--put-row", "large-swap-put", "--gaps-row", "large-swap-gaps")
        scale = self.context.scale
        with Samplerd(self.folder) as samplerd:
            daemon.await_checked(samplerd)
            where = ("--daemon", samplerd.grpc, "--dataset", daemon.DATASET)
            measured = (ours_in_python("hot_swap.py", *where, "--swaps", scale.swaps, *rows) for _ in range(scale.repeats))
            return [sample for samples in measured for sample in samples]


class LargestMemory:
    """Looks at a process's memory until the block ends."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.resident = 0
        self.anonymous = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "LargestMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.resident = max(self.resident, status_bytes(self.process, "VmRSS"))
            self.anonymous = max(self.anonymous, status_bytes(self.process, "RssAnon"))


def size_bytes(folder: Path) -> int:
    """Returns what a folder's files take."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
