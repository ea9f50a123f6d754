"""What a section is given, and what it gives: arms that are measured in turns."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.environments import ENVIRONMENT_OF, OWN, interpreter
from bench.machine import ROOT
from bench.record import Sample
from bench.rows import SWIFT
from bench.scale import Scale

sys.path.insert(0, str(ROOT / "scripts"))
from processes import environment  # noqa: E402  (scripts/ is no package)

PROGRAM_SECONDS_MAX = 600
"""Longest a measuring program may take."""


@dataclass(frozen=True)
class Arm:
    """Something that is measured, in turns with the section's other arms."""

    who: str
    measure: Callable[[], Iterable[Sample]]
    repeats: int | None = None
    """Default: as the scale says. A program that repeats by itself has 1."""


@dataclass
class Context:
    """What a section needs."""

    scale: Scale
    folder: Path
    """Empty, removed after the section."""
    skipped_peers: frozenset[str] = frozenset()
    notes: dict[str, str] = field(default_factory=dict)
    """By row: what was measured in another way than the row says."""

    def peers(self, arms: Iterable[Arm]) -> list[Arm]:
        """Returns the arms of the peers that are not left out."""
        return [arm for arm in arms if arm.who not in self.skipped_peers]

    def kept(self, samples: Iterable[Sample]) -> list[Sample]:
        """Returns the samples but those of peers that are left out, for programs that measure several at once."""
        return [sample for sample in samples if sample.who not in self.skipped_peers]


class ProgramFailed(Exception):
    """A measuring program failed."""


def program(who: str, command: Sequence[object]) -> list[Sample]:
    """Runs a measuring program and returns the samples it printed, one JSON line each."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PROGRAM_SECONDS_MAX, env=_environment())
    if done.returncode != 0:
        raise ProgramFailed(f"{who}: {' '.join(words)}\nexited with {done.returncode}\n{done.stderr.strip()[-4000:]}")
    return [Sample.parse(line, who) for line in done.stdout.splitlines() if line.startswith("{")]


def peer(who: str, name: str, *arguments: object, repeats: int | None = None) -> Arm:
    """Returns the arm of a program of bench/peers, in the peer's own environment."""
    command = (interpreter(ENVIRONMENT_OF[who]), ROOT / "bench" / "peers" / name, *arguments)
    return Arm(who, lambda: program(who, command), repeats)


def ours_in_python(name: str, *arguments: object) -> list[Sample]:
    """Runs a program of bench/python with the wheel."""
    return program(SWIFT, (interpreter(OWN), ROOT / "bench" / "python" / name, *arguments))


def in_rust(*arguments: object) -> list[Sample]:
    """Runs the measuring program of the crate bench/."""
    return program(SWIFT, (ROOT / "target/release/swift-sampler-bench", *arguments))


def _environment() -> dict[str, str]:
    """One thread a process, since two processes share the cores; TensorFlow only says what went wrong."""
    return environment() | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PYTHONUNBUFFERED": "1"}
