"""bench/RESULTS.md: the table, made from the record alone."""

from bench.record import Results, SectionRecord
from bench.rows import ROWS, SECTIONS, SWIFT, Row, centre, quantity, ratio

HEAD = """\
# What `make bench` measured

Ours and the peers were run in turns, in the same run, on the same machine. A value is the median of the repeats, in brackets the smallest and the
largest. Ratios above 1 mean that ours is so many times as good. Every sample is in [results.json](results.json).
"""
COLUMNS = "| what | ours | target | peer | peer's | ratio | verdict |\n|---|---|---|---|---|---|---|"
PLOTS = (
    ("draws.svg", "Draws a second by cells"),
    ("serving.svg", "Indices a second by batch size"),
    ("swap.svg", "Hot swaps"),
    ("clients.svg", "Indices a second by clients"),
    ("large.svg", "Import and opening"),
)


def render(results: Results, plots: set[str]) -> str:
    """Renders the page; `plots` are the names of the plots that there are."""
    parts = [HEAD]
    for section in SECTIONS:
        record = results.sections.get(section)
        parts.append(f"## {section}\n")
        if record is None:
            parts.append(f"Not measured yet: `make bench ONLY={section}`.\n")
            continue
        rows = [row for row in ROWS if row.section == section]
        parts.append(_when(record) + "\n")
        parts.append(COLUMNS)
        parts.extend(line for row in rows for line in _lines(row, record, results))
        parts.append("")
        parts.extend(f"- **{row_key}**: {note}" for row_key, note in record.notes.items())
        parts.extend(_fairness(rows))
        parts.extend(f"\n![{title}]({name})\n" for name, title in PLOTS if name == f"{section}.svg" and name in plots)
        parts.append("")
    return "\n".join(parts).replace("\n\n\n", "\n\n")


def _when(record: SectionRecord) -> str:
    machine = record.machine
    skipped = f" Left out on purpose (SKIP_PEERS): {', '.join(record.skipped_peers)}." if record.skipped_peers else ""
    scale = "" if record.scale == "full" else f" **Scale {record.scale}: sizes are reduced, nothing is judged.**"
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return (
        f"{record.date}, commit `{record.commit}`, {machine['cores']} cores of {machine['cpu']}, "
        f"{machine['memory_gib']} GiB, Linux {machine['kernel']}; {record.seconds:.0f} s. {versions}.{scale}{skipped}"
    )


def _lines(row: Row, record: SectionRecord, results: Results) -> list[str]:
    """One line, and one more for each further peer."""
    ours = record.values(row.key, SWIFT)
    measured = [peer for peer in row.peers if record.values(row.key, peer)]
    first = [row.what, _value(ours, row), row.target.text if row.target else "", *_peer(row, record, measured[:1]), ""]
    first[-1] = _verdict(row, record, results)
    others = (["", "", "", *_peer(row, record, [peer]), ""] for peer in measured[1:])
    return ["| " + " | ".join(cells) + " |" for cells in (first, *others)]


def _peer(row: Row, record: SectionRecord, peer: list[str]) -> tuple[str, str, str]:
    ours = record.values(row.key, SWIFT)
    if not peer:
        missing = [name for name in row.peers if name in record.skipped_peers]
        return (", ".join(missing), "left out" if missing else "", "")
    theirs = record.values(row.key, peer[0])
    compared = f"{ratio(centre(ours), centre(theirs), row.more_is_better):.3g}" if ours else ""
    return peer[0], _value(theirs, row), compared


def _value(values: list[float], row: Row) -> str:
    if not values:
        return "not measured"
    unit = f" {row.unit}" if row.unit else ""
    spread = f" ({quantity(min(values))} … {quantity(max(values))})" if len(values) > 1 else ""
    return f"{quantity(centre(values))}{unit}{spread}"


def _verdict(row: Row, record: SectionRecord, results: Results) -> str:
    ours = record.values(row.key, SWIFT)
    if row.target is None or not ours:
        return ""
    if record.scale != "full":
        return "not judged"
    if row.key in record.notes:
        return "not judged: see below"
    peers = {peer: centre(record.values(row.key, peer)) for peer in row.peers if record.values(row.key, peer)}
    others = {
        other.key: centre(results.sections[other.section].values(other.key, SWIFT))
        for other in ROWS
        if other.section in results.sections and results.sections[other.section].values(other.key, SWIFT)
    }
    reached = row.target.reached(centre(ours), peers, row.more_is_better, others)
    return {True: "reached", False: "**not reached**", None: "not judged: no peer"}[reached]


def _fairness(rows: list[Row]) -> list[str]:
    """What the comparisons leave out, each text once."""
    texts = dict.fromkeys(row.fairness for row in rows if row.fairness)
    return [f"- {text}" for text in texts]
