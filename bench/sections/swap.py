"""Hot swaps: a new sampler under a running stream, beside giving every item of a peer a new priority."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench import daemon
from bench.measuring import Arm, Context, in_rust, ours_in_python, peer
from bench.rows import CPPRB, REVERB, SWIFT, WRS


@contextmanager
def swap(context: Context) -> Iterator[list[Arm]]:
    scale = context.scale
    examples = ("--examples", scale.examples_swap)
    build = ("build", "--row", "swap-build", *examples, "--repeats", scale.repeats)
    with daemon.serving(context, scale.examples_swap) as samplerd:
        rows = ("--first-row", "swap-first", "--put-row", "swap-put", "--gaps-row", "swap-gaps")
        ours = ("hot_swap.py", "--daemon", samplerd.grpc, "--dataset", daemon.DATASET, "--swaps", scale.swaps, *rows)
        yield [
            Arm(SWIFT, lambda: ours_in_python(*ours)),
            Arm(f"{SWIFT}, in process", lambda: in_rust(*build), repeats=1),
            *context.peers(
                [
                    peer(REVERB, "reverb_table.py", "swap", "--items", scale.items_reverb, *examples),
                    peer(WRS, "torch_loader.py", "swap", *examples),
                    peer(CPPRB, "cpprb_buffer.py", "swap", *examples),
                ]
            ),
        ]
