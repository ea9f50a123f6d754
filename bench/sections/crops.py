"""Crops that are selected while training. No peer selects examples that it does not hold."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench import daemon
from bench.measuring import Arm, Context, ours_in_python
from bench.rows import SWIFT


@contextmanager
def crops(context: Context) -> Iterator[list[Arm]]:
    scale = context.scale
    with daemon.serving(context, scale.examples) as samplerd:
        ours = ("--daemon", samplerd.grpc, "--dataset", daemon.DATASET, "--seconds", scale.seconds)
        yield [Arm(SWIFT, lambda: ours_in_python("select_crops.py", *ours))]
