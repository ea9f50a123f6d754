"""Batches over loopback, to Rust and to Python, beside what else feeds a trainer."""

from collections.abc import Iterator
from contextlib import contextmanager

from bench import daemon
from bench.measuring import Arm, Context, in_rust, ours_in_python, peer
from bench.record import Sample
from bench.rows import CPPRB, REVERB, SPDL, STATEFUL, SWIFT, TF_DATA, TONIC, WRS
from processes import Samplerd

BATCH_SIZES = (256, 4096)


@contextmanager
def serving(context: Context) -> Iterator[list[Arm]]:
    scale = context.scale
    length = ("--seconds", scale.seconds)
    one_trainer = ("--examples", scale.examples, *length)

    def bare() -> list[Sample]:
        return [
            sample
            for batch_size in BATCH_SIZES
            for sample in in_rust("bare", "--row", f"rust-{batch_size}", "--batch-size", batch_size, *length)
        ]

    with daemon.serving(context, scale.examples) as samplerd:
        yield [
            Arm(SWIFT, lambda: _to_rust(samplerd, scale.seconds)),
            *context.peers([Arm(TONIC, bare)]),
            Arm(SWIFT, lambda: ours_in_python("numpy_batches.py", "--daemon", samplerd.grpc, "--dataset", daemon.DATASET, *length)),
            *context.peers(
                [
                    peer(REVERB, "reverb_table.py", "python", "--items", scale.items_reverb, *length),
                    peer(TF_DATA, "tf_data_service.py", *one_trainer),
                    peer(WRS, "torch_loader.py", "python", *one_trainer),
                    peer(STATEFUL, "torch_loader.py", "python", "--stateful", *one_trainer),
                    peer(SPDL, "spdl_pipeline.py", *one_trainer),
                    peer(CPPRB, "cpprb_buffer.py", "python", *one_trainer),
                ]
            ),
        ]


def _to_rust(samplerd: Samplerd, seconds: float) -> list[Sample]:
    return [
        Sample(f"rust-{batch_size}", SWIFT, _bench(samplerd, batch_size, seconds)["indices_per_second"])
        for batch_size in BATCH_SIZES
    ]


def _bench(samplerd: Samplerd, batch_size: int, seconds: float) -> dict[str, float]:
    """Runs `samplerctl bench`, whose seconds are whole."""
    arguments = ("--batch-size", str(batch_size), "--seconds", str(max(1, round(seconds))))
    measured: dict[str, float] = samplerd.ctl("bench", daemon.DATASET, *arguments)[0]
    return measured
