"""A process's resident memory."""

from pathlib import Path

KIB = 1024


def resident_bytes(process: int | str = "self") -> int:
    """Returns the resident memory of a process, files that it maps and has touched included."""
    return status_bytes(process, "VmRSS")


def status_bytes(process: int | str, field: str) -> int:
    """Returns a field of a process's status."""
    status = Path(f"/proc/{process}/status")
    for line in status.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * KIB
    raise RuntimeError(f"{status} has no {field}")
