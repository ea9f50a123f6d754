"""The peers' side of the protocol: lines of JSON on standard input and output, as `swift-sampler-bench optimise` speaks it.

A line with `observations`, pairs of points and values, is peers' own: it spares them their first suggestions where only the time of
the last ones is measured.

A line with `dimension` begins a run; a peer that has just been started and one that has ended a run are the same to it, so one
process serves many runs and imports its libraries once.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol


class Peer(Protocol):
    """An optimiser of one run, which maximises over the unit cube."""

    def suggest(self) -> list[float]:
        """Returns the next point; everything that was told counts."""

    def tell(self, point: list[float], value: float) -> None:
        """Takes what a point was worth, the last suggested one unless the peer's method is `replayable`."""

    def recommend(self) -> int:
        """Returns the index of the point that the peer would choose of those evaluated."""


def serve(peer_of: Callable[[int, int], Peer]) -> None:
    """Serves runs until the end of input; `peer_of` makes the optimiser of a dimension and a seed."""
    # What libraries print must not come between the lines.
    out, sys.stdout = sys.stdout, sys.stderr
    peer, left, point = None, 0, None

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=out, flush=True)

    for line in sys.stdin:
        message = json.loads(line)
        if "dimension" in message:
            peer, left = peer_of(message["dimension"], message["seed"]), message["budget"]
        elif "value" in message:
            peer.tell(point, message["value"])
            left -= 1
        elif "observations" in message:
            # What was suggested and not told does not count.
            for point, value in message["observations"]:
                peer.tell(point, value)
            left -= len(message["observations"])
        else:
            say({"index": int(peer.recommend())})
            continue
        if left > 0:
            start = time.perf_counter()
            point = [min(max(float(coordinate), 0.0), 1.0) for coordinate in peer.suggest()]
            say({"point": point, "ms": (time.perf_counter() - start) * 1e3})
