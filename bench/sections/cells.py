"""What cells cost in exactness, and samplers over them in time, by the number of features."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.measuring import Arm, Context, in_rust
from bench.rows import SWIFT

FEATURES_MAX = 6


@contextmanager
def cells(context: Context) -> Iterator[list[Arm]]:
    examples, repeats = context.scale.examples_cells, context.scale.repeats

    def arm(features: int) -> Arm:
        command = (
            *("cells", "--distance-row", "distance-N", "--build-row", "build-N"),
            *("--features", features, "--examples", examples, "--repeats", repeats),
        )
        return Arm(f"{SWIFT}, N = {features}", lambda: in_rust(*command), repeats=1)

    yield [arm(features) for features in range(1, FEATURES_MAX + 1)]
