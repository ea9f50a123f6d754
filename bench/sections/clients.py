"""Many readers at once: how much they get together, and how evenly."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bench import daemon
from bench.measuring import Arm, Context
from bench.record import Sample
from bench.rows import SWIFT
from processes import Samplerd

BATCH_SIZE = 1024
SHARE = 256
"""Draws of one stream's share of a batch, where many streams share it."""
CLIENTS = (1, 2, 8, 100)
CONNECTIONS_OF_STREAMS = 100
STREAMS_MAX = 20_000
"""Above all that are opened: the daemon's default is for fewer."""


@contextmanager
def clients(context: Context) -> Iterator[list[Arm]]:
    with daemon.serving(context, context.scale.examples, "--streams-max", str(STREAMS_MAX)) as samplerd:
        seconds = max(1, round(context.scale.seconds))

        def arm(number: int) -> Arm:
            return Arm(f"{SWIFT}, {number} clients", lambda: _clients(samplerd, number, seconds))

        def streams() -> list[Sample]:
            return _streams(samplerd, context.scale.streams, seconds)

        yield [*map(arm, CLIENTS), Arm(f"{SWIFT}, {CONNECTIONS_OF_STREAMS} × {context.scale.streams} streams", streams)]


def _clients(samplerd: Samplerd, number: int, seconds: int) -> list[Sample]:
    indices = _at_once(samplerd, number, seconds, BATCH_SIZE)
    samples = [Sample(f"clients-{number}", SWIFT, sum(indices) / seconds)]
    if number == max(CLIENTS):
        samples.append(Sample("fairness-100", SWIFT, fairness(indices)))
    return samples


def _streams(samplerd: Samplerd, streams: int, seconds: int) -> list[Sample]:
    indices = _at_once(samplerd, CONNECTIONS_OF_STREAMS, seconds, SHARE * streams, "--ranks", str(streams))
    details = {"streams": CONNECTIONS_OF_STREAMS * streams}
    return [
        Sample("streams-10000", SWIFT, sum(indices) / seconds, details),
        Sample("fairness-10000", SWIFT, fairness(indices), details),
    ]


def _at_once(samplerd: Samplerd, number: int, seconds: int, batch_size: int, *more: str) -> list[float]:
    """Runs so many clients, each a process with a job of its own, and returns what each has got."""
    measure = ("bench", daemon.DATASET, "--batch-size", str(batch_size), "--seconds", str(seconds), *more)
    with ThreadPoolExecutor(number) as pool:
        measured = list(pool.map(lambda _: samplerd.ctl(*measure)[0], range(number)))
    return [float(of["indices"]) for of in measured]


def fairness(shares: list[float]) -> float:
    """Jain's index: 1 where all shares are equal, 1/n where one reader has all."""
    return sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))
