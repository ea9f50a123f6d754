"""A daemon that serves a made-up dataset."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import features
from bench.measuring import Context
from processes import Samplerd

DATASET = "bench"
CHECKS_PENDING = "swiftsampler_dataset_checks_pending"
CHECK_SECONDS_MAX = 300
CHECK_LOOK_SECONDS = 0.2


@contextmanager
def serving(context: Context, examples: int, *flags: str) -> Iterator[Samplerd]:
    """A daemon with a dataset of so many examples, a swift sampler active."""
    files = features.write_shards(context.folder / "features", examples, shards=1)
    with Samplerd(context.folder / "daemon", *flags) as daemon:
        daemon.ctl("dataset", "import", DATASET, *files)
        activate(daemon, put(daemon, context.folder, 0))
        yield daemon


def put(daemon: Samplerd, folder: Path, number: int) -> int:
    """Stores the sampler of this number and returns its version."""
    version: int = daemon.ctl("sampler", "put", DATASET, features.write_spec(folder, number))[0]["version"]
    return version


def activate(daemon: Samplerd, version: int) -> None:
    """Activates a version."""
    daemon.ctl("sampler", "activate", DATASET, str(version))


def await_checked(daemon: Samplerd) -> None:
    """Waits until the daemon has checked the bytes of its datasets, which it does in the background after it has opened large
    ones."""
    end = time.monotonic() + CHECK_SECONDS_MAX
    while (pending := daemon.metrics(CHECKS_PENDING)) != [f"{CHECKS_PENDING} 0"]:
        if time.monotonic() > end:
            raise TimeoutError(f"after {CHECK_SECONDS_MAX} s the daemon says {pending}")
        time.sleep(CHECK_LOOK_SECONDS)
