"""Functions that Ray's workers run for a trial; see test_ray.py."""

from __future__ import annotations

import os
import tempfile
import threading
from pathlib import Path

from swift_sampler.trial import RunningTrial


def score(t: RunningTrial) -> None:
    """Reports epochs whose accuracies depend on seed and batches alone."""
    for epoch in range(1, t.epochs + 1):
        drawn = sum(int(batch.indices.sum()) for batch in t.batches(epoch))
        if not t.report(epoch, (drawn + t.seed) % 9973 / 9973):
            break


def pid_file(study: str) -> Path:
    """Returns where ``hang_once`` tells its process."""
    return Path(tempfile.gettempdir()) / f"{study}.pid"


def hang_once(t: RunningTrial) -> None:
    """Tells where it runs and goes on for ever, at the first attempt at trial 0; then as ``score``."""
    if (t.number, t.attempt.attempt) == (0, 1):
        written = pid_file(t.study)
        written.with_suffix(".part").write_text(str(os.getpid()))
        written.with_suffix(".part").rename(written)
        threading.Event().wait()
    score(t)
