"""A process that is spoken to in lines of JSON."""

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.environments import CACHE
from bench.machine import ROOT

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""Every optimiser has one thread."""
JAX_CACHE = {"JAX_COMPILATION_CACHE_DIR": str(CACHE / "search-jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
"""Vizier compiles the same again for every suggestion, unless JAX remembers."""


class PipeBroken(Exception):
    """The process ended, or said something else than was agreed."""


class Pipe:
    """Starts a process; `close` ends it."""

    def __init__(self, command: list[str | Path]) -> None:
        self.command = [str(part) for part in command]
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd=tempfile.gettempdir(),
            env=os.environ | ONE_THREAD | JAX_CACHE | {"PYTHONPATH": str(ROOT)},
        )

    def say(self, message: dict[str, Any]) -> None:
        """Sends one line."""
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise self._broken("takes no more input") from error

    def hear(self) -> dict[str, Any]:
        """Waits for one line."""
        line = self.process.stdout.readline()
        try:
            answer = json.loads(line)
        except json.JSONDecodeError as error:
            raise self._broken(f"said {line!r}") from error
        if not isinstance(answer, dict):
            raise self._broken(f"said {line!r}")
        return answer

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Sends one line and waits for the answer."""
        self.say(message)
        return self.hear()

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()

    def _broken(self, what: str) -> PipeBroken:
        self.errors.seek(0)
        last = "\n".join(self.errors.read().splitlines()[-20:])
        return PipeBroken(f"{' '.join(self.command)} {what}; the end of its standard error:\n{last}")
