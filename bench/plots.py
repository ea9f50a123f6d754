"""The plots of the record, one a section that has any."""

from pathlib import Path

from bench.chart import Bar, Panel, svg
from bench.record import Results
from bench.rows import SWIFT, row

OURS = "Swift Sampler"


def draw(results: Results, folder: Path) -> set[str]:
    """Writes the plots of what was measured and returns their names."""
    written = set()
    for name, panels in _plots(results).items():
        panels = [panel for panel in panels if any(bar.values for _, bars in panel.groups for bar in bars)]
        if panels:
            (folder / name).write_text(svg(panels))
            written.add(name)
    return written


def _plots(results: Results) -> dict[str, list[Panel]]:
    bars = _Bars(results)
    batch_sizes = (256, 4096)
    return {
        "draws.svg": [
            Panel(
                "Draws in process, one thread",
                "draws/s",
                [
                    ("10^5 cells", bars.of("draws-1e5-cells")),
                    ("10^6 cells", bars.of("draws-1e6-cells")),
                    ("5·10^7 examples", bars.of("draws-5e7-examples")),
                    ("stratified, 10^6 examples", bars.of("draws-stratified")),
                ],
            )
        ],
        "serving.svg": [
            Panel(
                "Served over loopback, 10^6 examples",
                "indices/s",
                [(f"to Rust, batch {size}", bars.of(f"rust-{size}")) for size in batch_sizes]
                + [(f"to Python, batch {size}", bars.of(f"python-{size}")) for size in batch_sizes],
            ),
            Panel(
                "99th percentile between batches in Python",
                "ms",
                [(f"batch {size}", bars.of(f"python-{size}-p99")) for size in batch_sizes],
            ),
        ],
        "swap.svg": [
            Panel(
                "A new sampler, until its first index",
                "ms",
                [
                    ("1.28·10^6 examples", bars.of("swap-first")),
                    ("storing it included", bars.of("swap-put")),
                    ("building it, in process", bars.of("swap-build")),
                    ("5·10^8 examples", bars.of("large-swap")),
                ],
            )
        ],
        "clients.svg": [
            Panel(
                "All clients together, batch 1024",
                "indices/s",
                [("", [bars.ours(f"clients-{n}", f"{n} client{'s' if n > 1 else ''}") for n in (1, 2, 8, 100)])]
                + [("", [bars.ours("streams-10000", "100 clients × 100 streams")])],
            )
        ],
        "large.svg": [
            Panel("Import of 5·10^8 examples", "rows/s", [("", [bars.ours("import-rate", "Parquet shards")])]),
            Panel("Opening them again", "ms", [("", [bars.ours("open", "start to first batch")])]),
        ],
    }


class _Bars:
    def __init__(self, results: Results) -> None:
        self.results = results

    def ours(self, key: str, label: str = OURS) -> Bar:
        return Bar(label, SWIFT, self._values(key, SWIFT))

    def of(self, key: str) -> list[Bar]:
        """Ours and every peer of a row."""
        return [self.ours(key), *(Bar(peer, peer, self._values(key, peer)) for peer in row(key).peers)]

    def _values(self, key: str, who: str) -> list[float]:
        record = self.results.sections.get(row(key).section)
        return record.values(key, who) if record else []
