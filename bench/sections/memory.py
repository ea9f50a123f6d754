"""Memory an example, while batches are drawn."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench import daemon
from bench.measuring import Arm, Context, peer
from bench.peers.memory import resident_bytes
from bench.record import Sample
from bench.rows import CPPRB, REVERB, SWIFT, WRS
from processes import Samplerd

BATCH_SIZE = 4096
SECONDS = 3
"""Enough that every page of the dataset is drawn from."""


@contextmanager
def memory(context: Context) -> Iterator[list[Arm]]:
    scale = context.scale
    with daemon.serving(context, scale.examples_memory):
        pass
    yield [
        Arm(SWIFT, lambda: [served(context, "memory", scale.examples_memory)], repeats=1),
        *context.peers(
            [
                peer(REVERB, "reverb_table.py", "memory", "--items", scale.items_reverb, repeats=1),
                peer(WRS, "torch_loader.py", "memory", "--examples", scale.examples_memory, repeats=1),
                peer(CPPRB, "cpprb_buffer.py", "memory", "--examples", scale.examples_memory, repeats=1),
            ]
        ),
    ]


def served(context: Context, row: str, examples: int) -> Sample:
    """Restarts the daemon, reads from it, and compares its memory with that of a daemon without a dataset."""
    with Samplerd(context.folder / "empty") as empty:
        before = resident_bytes(empty.process.pid)
    with Samplerd(context.folder / "daemon") as samplerd:
        daemon.await_checked(samplerd)
        samplerd.ctl("bench", daemon.DATASET, "--batch-size", str(BATCH_SIZE), "--seconds", str(SECONDS))
        after = resident_bytes(samplerd.process.pid)
    details = {"examples": examples, "bytes": after, "empty_bytes": before}
    return Sample(row, SWIFT, (after - before) / examples, details)
