"""The record of a run: every sample, under the section that measured it, with the machine, the commit and the date."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.rows import ROWS, SECTIONS, SWIFT, row

FORMAT = 1


@dataclass(frozen=True)
class Sample:
    """One measured value, in its row's unit."""

    row: str
    who: str
    value: float
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, line: str, who: str) -> "Sample":
        """Reads what a measuring program prints; `who` is who was measured, where the program does not say."""
        value = json.loads(line)
        return cls(value["row"], value.get("who", who), float(value["value"]), value.get("details", {}))


@dataclass(frozen=True)
class SectionRecord:
    """What one section measured, all of it in one run."""

    commit: str
    date: str
    scale: str
    machine: dict[str, Any]
    versions: dict[str, str]
    seconds: float
    samples: tuple[Sample, ...]
    notes: dict[str, str] = field(default_factory=dict)
    """By row: what was measured in another way than the row says, and why."""
    skipped_peers: tuple[str, ...] = ()
    """Peers that were left out on purpose."""

    def values(self, row_key: str, who: str) -> list[float]:
        """Returns the samples of one row."""
        return [sample.value for sample in self.samples if (sample.row, sample.who) == (row_key, who)]

    def details(self, row_key: str, who: str) -> dict[str, Any]:
        """Returns the details of the first sample of one row."""
        return next((sample.details for sample in self.samples if (sample.row, sample.who) == (row_key, who)), {})


class Results:
    """bench/results.json: the latest record of each section."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sections: dict[str, SectionRecord] = {}
        if path.exists():
            document = json.loads(path.read_text())
            if document["format"] != FORMAT:
                raise ValueError(f"{path} has format {document['format']}, this version reads format {FORMAT}")
            self.sections = {name: _section(value) for name, value in document["sections"].items() if name in SECTIONS}

    def put(self, section: str, record: SectionRecord) -> None:
        """Replaces a section's record, and writes the file."""
        check_rows(section, record.samples)
        self.sections[section] = record
        sections = {name: self.sections[name] for name in SECTIONS if name in self.sections}
        lines = (f'  "{name}": {_written(record)}' for name, record in sections.items())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(f'{{"format": {FORMAT}, "sections": {{\n' + ",\n".join(lines) + "\n}}\n")
        part.replace(self.path)


def check_rows(section: str, samples: Iterable[Sample]) -> None:
    """Refuses samples of rows that are not the section's, or of someone whom the row does not list."""
    for sample in samples:
        of = row(sample.row)
        if of.section != section:
            raise ValueError(f"section {section!r} measured the row {sample.row!r} of section {of.section!r}")
        if sample.who != SWIFT and sample.who not in of.peers:
            raise ValueError(f"row {sample.row!r} has no peer {sample.who!r}: its peers are {of.peers}")


def check_complete(section: str, samples: Iterable[Sample], skipped_peers: frozenset[str]) -> None:
    """Refuses a run that left out a row of the section, or a peer of a row without being told to."""
    measured = {(sample.row, sample.who) for sample in samples}
    wanted = [(row.key, who) for row in ROWS if row.section == section for who in (SWIFT, *row.peers)]
    if missing := [pair for pair in wanted if pair not in measured and pair[1] not in skipped_peers]:
        raise ValueError(f"section {section!r} did not measure " + "; ".join(f"{who} in row {key!r}" for key, who in missing))


def _section(value: dict[str, Any]) -> SectionRecord:
    samples = tuple(Sample(**sample) for sample in value.pop("samples"))
    return SectionRecord(**value | {"samples": samples, "skipped_peers": tuple(value["skipped_peers"])})


def _written(record: SectionRecord) -> str:
    """Writes a record with one line a sample, so that two runs can be compared."""
    head = {name: value for name, value in record.__dict__.items() if name != "samples"}
    samples = ",\n    ".join(json.dumps(sample.__dict__, ensure_ascii=False) for sample in record.samples)
    return json.dumps(head, ensure_ascii=False)[:-1] + ', "samples": [\n    ' + samples + "\n  ]}"
