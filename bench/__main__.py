"""`make bench`: see CONTRIBUTING.md.

Environment: ONLY=draws,serving runs these sections; BENCH_SCALE=small tries everything out in a few minutes;
SKIP_PEERS=Reverb,SPDL leaves peers out.
"""

import os
import sys

from bench.driver import FOLDER, Run
from bench.environments import CACHE, PeerMissing
from bench.rows import ROWS, SECTIONS
from bench.scale import SCALES


def main() -> int:
    only = _list("ONLY") or SECTIONS
    skipped = frozenset(_list("SKIP_PEERS"))
    scale = SCALES.get(os.environ.get("BENCH_SCALE") or "full")
    peers = {peer for row in ROWS for peer in row.peers}
    if unknown := [name for name in only if name not in SECTIONS]:
        return _usage(f"ONLY names no section {unknown[0]!r}: the sections are {', '.join(SECTIONS)}")
    if unknown := sorted(skipped - peers):
        return _usage(f"SKIP_PEERS names no peer {unknown[0]!r}: the peers are {'; '.join(sorted(peers))}")
    if scale is None:
        return _usage(f"BENCH_SCALE is one of {', '.join(SCALES)}")
    folder = FOLDER
    if scale.name != "full":
        # Small sizes are tried out, not published.
        folder = CACHE / scale.name
        folder.mkdir(parents=True, exist_ok=True)
    try:
        failed = Run(scale, skipped, folder).measure(name for name in SECTIONS if name in only)
    except PeerMissing as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nbench: interrupted; finished sections are kept", file=sys.stderr)
        return 130
    print(f"The table is in {folder / 'RESULTS.md'}")
    if failed:
        print(f"bench: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _list(variable: str) -> list[str]:
    return [name.strip() for name in os.environ.get(variable, "").split(",") if name.strip()]


def _usage(message: str) -> int:
    print(f"bench: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
