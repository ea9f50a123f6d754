"""What the scripts share: binaries of this workspace, a daemon of their own, tables."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS_MAX = 30
STOP_SECONDS_MAX = 30


def environment() -> dict[str, str]:
    """The environment of trials: one thread a process, since two libtorch processes share two cores best so."""
    return os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def binary(name: str) -> str:
    """The path of an optimised binary."""
    path = ROOT / "target" / "release" / name
    if not path.is_file():
        sys.exit(f"{path} is not built: run `make release`")
    return str(path)


def run(*command: str | Path, quiet: bool = False) -> str:
    """Runs a command to its end and returns its standard output; what it says on standard error is shown, unless
    `quiet` keeps it for the case of failure."""
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
        env=environment(),
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nexited with {done.returncode}\n{done.stderr or ''}")
    return done.stdout


class Samplerd:
    """A daemon on free ports over a folder, stopped when the block ends; `flags` are more of its own."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self.flags = flags
        self.log = folder / "samplerd.log"

    def __enter__(self) -> "Samplerd":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [
                *(binary("samplerd"), "--data-dir", self.folder / "data"),
                *("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", *self.flags),
            ],
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
            text=True,
            env=environment(),
        )
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"samplerd did not start:\n{self.log.read_text()}")
        addresses = json.loads(line)
        self.grpc, self.http = addresses["grpc"], addresses["http"]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()

    def metrics(self, *names: str) -> list[str]:
        """The lines of /metrics that begin with one of these names."""
        with urllib.request.urlopen(f"http://{self.http}/metrics", timeout=START_SECONDS_MAX) as answer:
            lines = answer.read().decode().splitlines()
        return [line for line in lines if line.startswith(names)]

    def ctl(self, *arguments: str | Path) -> list[dict]:
        """Runs samplerctl and returns the JSON values it printed."""
        output = run(binary("samplerctl"), "--daemon", self.grpc, "--output", "json", *arguments, quiet=True)
        return [json.loads(line) for line in output.splitlines() if line.strip()]


class Stopwatch:
    """Prints what is going on, with the time since the start."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def say(self, text: str) -> None:
        seconds = int(time.monotonic() - self.start)
        print(f"[{seconds // 60}:{seconds % 60:02}] {text}", flush=True)
