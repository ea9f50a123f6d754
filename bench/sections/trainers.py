"""Through torch: ours beside its own weighted sampler."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench import daemon
from bench.measuring import Arm, Context, ours_in_python, peer
from bench.rows import STATEFUL, SWIFT, WRS


@contextmanager
def trainers(context: Context) -> Iterator[list[Arm]]:
    scale = context.scale
    examples = ("--examples", scale.examples)
    with daemon.serving(context, scale.examples) as samplerd:
        where = ("--daemon", samplerd.grpc, "--dataset", daemon.DATASET)
        yield [
            Arm(SWIFT, lambda: ours_in_python("torch_batches.py", *where)),
            Arm(f"{SWIFT}, a trial", lambda: ours_in_python("trial.py", *where, "--steps", scale.steps_trial)),
            *context.peers(
                [
                    peer(WRS, "torch_loader.py", "first", *examples),
                    peer(STATEFUL, "torch_loader.py", "first", "--stateful", *examples),
                    peer(STATEFUL, "torch_loader.py", "resume", "--stateful", *examples),
                ]
            ),
        ]
