"""Where and on what a run was made."""

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GIB = 1 << 30
KIB = 1 << 10
RESULTS = ("*.svg", "*results.json", "*RESULTS.md")
"""What the benchmarks write, in bench/."""


def describe() -> dict[str, Any]:
    """Returns CPU, cores, memory and kernel."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) * KIB / GIB, 1),
        "kernel": platform.release(),
    }


def memory_available_bytes() -> int:
    """Returns the memory that can be had without swapping."""
    return int(_field("/proc/meminfo", "MemAvailable").split()[0]) * KIB


def commit() -> str:
    """Returns the commit, marked where the checkout differs from it outside of the results."""
    revision = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *(f":!bench/{name}" for name in RESULTS))
    return f"{revision}, changed" if changed else revision


def now() -> str:
    """Returns the date and time, UTC."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
