"""Draws in process. The program measures ours and the peers in turns by itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench.measuring import Arm, Context, in_rust


@contextmanager
def draws(context: Context) -> Iterator[list[Arm]]:
    scale = context.scale
    sizes = {"draws-1e5-cells": 100_000, "draws-1e6-cells": scale.examples, "draws-5e7-examples": scale.examples_draws}

    def arm(row: str, examples: int, *more: str) -> Arm:
        command = ("draws", "--row", row, "--examples", examples, "--repeats", scale.repeats, "--seconds", scale.seconds / 2, *more)
        return Arm(f"{row}, ours and rand_distr", lambda: context.kept(in_rust(*command)), repeats=1)

    yield [arm(row, examples) for row, examples in sizes.items()] + [
        arm("draws-stratified", scale.examples, "--stratified")
    ]
