"""The peers' Python environments: each its own, under .cache/bench, with the versions of bench/peers/requirements-*.txt."""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

from bench.machine import ROOT
from bench.rows import CPPRB, REVERB, SPDL, STATEFUL, TF_DATA, WRS

CACHE = ROOT / ".cache" / "bench"
REQUIREMENTS = ROOT / "bench" / "peers"

OWN = "own"
"""The project's .venv, which holds torch and torchdata beside the wheel."""

ENVIRONMENT_OF = {REVERB: "reverb", TF_DATA: "reverb", SPDL: "spdl", CPPRB: "cpprb", WRS: OWN, STATEFUL: OWN}
"""Which environment a peer in Python needs; the others are in the measuring program."""

PACKAGES = {
    "reverb": ("dm-reverb", "tensorflow-cpu"),
    "spdl": ("spdl-core",),
    "cpprb": ("cpprb",),
    OWN: ("torch", "torchdata", "numpy"),
}
"""Whose versions the record names."""


class PeerMissing(Exception):
    """A peer could not be installed."""


def set_up(peers: set[str]) -> None:
    """Installs what the peers need; does nothing for what is installed already."""
    for name in sorted({ENVIRONMENT_OF[peer] for peer in peers if peer in ENVIRONMENT_OF} - {OWN}):
        installed = sorted(peer for peer in peers if ENVIRONMENT_OF.get(peer) == name)
        without = f"SKIP_PEERS='{','.join(installed)}'; the table then says so."
        install(name, REQUIREMENTS / f"requirements-{name}.txt", installed, without)


def interpreter(name: str) -> Path:
    """Returns the environment's Python."""
    return ROOT / ".venv/bin/python" if name == OWN else CACHE / name / "bin/python"


def versions(names: set[str]) -> dict[str, str]:
    """Returns the versions of the environments' packages that are compared with."""
    found: dict[str, str] = {}
    for name in sorted(names):
        code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
        done = subprocess.run(
            [interpreter(name), "-c", code, *PACKAGES[name]], capture_output=True, text=True, check=True
        )
        found |= dict(zip(PACKAGES[name], done.stdout.split(), strict=True))
    return found


def install(name: str, requirements: Path, peers: list[str], without: str) -> None:
    """Installs an environment unless it holds these requirements; `without` tells how to do without its peers."""
    stamp = CACHE / name / "installed"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == digest:
        return
    print(f"bench: installing {', '.join(sorted(peers))} into {stamp.parent.relative_to(ROOT)}", file=sys.stderr)
    venv.create(stamp.parent, clear=True, with_pip=True)
    pip = [str(interpreter(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "--requirement", str(requirements)], capture_output=True, text=True)
    if done.returncode != 0:
        raise PeerMissing(
            f"{', '.join(sorted(peers))} could not be installed from {requirements.relative_to(ROOT)}:\n{done.stderr.strip()}\n"
            f"To run without: {without}"
        )
    stamp.write_text(digest)
