"""Runs sections: sets up, measures the arms in turns, keeps what is finished, writes table and plots."""

import shutil
import tempfile
import time
import traceback
from collections.abc import Iterable
from pathlib import Path

from bench import environments, machine, plots, sections, table
from bench.alone import alone
from bench.environments import CACHE, ENVIRONMENT_OF
from bench.machine import ROOT
from bench.measuring import Arm, Context
from bench.record import Results, Sample, SectionRecord, check_complete
from bench.rows import ROWS
from bench.scale import Scale

FOLDER = ROOT / "bench"


class Run:
    """One run of `make bench`."""

    def __init__(self, scale: Scale, skipped_peers: frozenset[str], folder: Path = FOLDER) -> None:
        self.scale = scale
        self.skipped_peers = skipped_peers
        self.folder = folder
        self.results = Results(folder / "results.json")
        self.start = time.monotonic()

    def measure(self, names: Iterable[str]) -> list[str]:
        """Measures sections one after another and returns those that failed; a section's record is replaced when it is
        finished, so an interrupted run keeps what came before."""
        with alone():
            return self._measure(list(names))

    def _measure(self, names: list[str]) -> list[str]:
        peers = {peer for row in ROWS if row.section in names for peer in row.peers} - self.skipped_peers
        environments.set_up(peers)
        failed = []
        for number, name in enumerate(names, 1):
            self.say(f"section {name} ({number} of {len(names)})")
            try:
                self._section(name)
            # What scripts/processes.py cannot go on with ends the program.
            except (Exception, SystemExit):
                failed.append(name)
                self.say(f"section {name} failed; what the table says of it is from an earlier run\n{traceback.format_exc()}")
        self.write()
        return failed

    def write(self) -> None:
        """Writes table and plots from the record."""
        drawn = plots.draw(self.results, self.folder)
        (self.folder / "RESULTS.md").write_text(table.render(self.results, drawn))

    def say(self, text: str) -> None:
        """Prints what is going on, with the time since the start."""
        seconds = int(time.monotonic() - self.start)
        print(f"[{seconds // 60}:{seconds % 60:02}] {text}", flush=True)

    def _section(self, name: str) -> None:
        for left in CACHE.glob(f"{name}-*"):
            # Of a run that was killed.
            shutil.rmtree(left)
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=CACHE))
        try:
            context = Context(self.scale, folder, self.skipped_peers)
            start = time.monotonic()
            samples: list[Sample] = []
            with sections.SECTIONS[name](context) as arms:
                for turn, arm in in_turns(arms, self.scale.repeats):
                    self.say(f"  {name}: {arm.who}, {turn}")
                    samples.extend(arm.measure())
            check_complete(name, samples, self.skipped_peers)
            self.results.put(name, self._record(name, context, samples, time.monotonic() - start))
            self.write()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _record(self, name: str, context: Context, samples: list[Sample], seconds: float) -> SectionRecord:
        measured = {sample.who for sample in samples}
        return SectionRecord(
            commit=machine.commit(),
            date=machine.now(),
            scale=self.scale.name,
            machine=machine.describe(),
            versions=environments.versions({ENVIRONMENT_OF[peer] for peer in measured if peer in ENVIRONMENT_OF}),
            seconds=round(seconds, 1),
            samples=tuple(samples),
            notes=context.notes,
            skipped_peers=tuple(sorted(self.skipped_peers & {peer for row in ROWS if row.section == name for peer in row.peers})),
        )


def in_turns(arms: list[Arm], repeats: int) -> Iterable[tuple[str, Arm]]:
    """Every arm once, then every arm again: what disturbs the machine for a while disturbs all of them."""
    for turn in range(max((arm.repeats or repeats for arm in arms), default=0)):
        for arm in arms:
            wanted = arm.repeats or repeats
            if turn < wanted:
                yield f"{turn + 1} of {wanted}", arm
