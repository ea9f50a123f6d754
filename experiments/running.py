"""Runs what is missing of a table: trainings and searches side by side, one a core."""

import json
import os
import platform
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from experiments.declaration import Run, Table
from experiments.store import Store

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from processes import Samplerd, Stopwatch, binary, run as call  # noqa: E402

DATA = {"fashion-mnist": "setup-data", "digits": "setup-digits", "canvas": "setup-canvas", "text": "setup-text"}
"""Scripts that print where data is; anything else is a folder of the user's."""


def make(table: Table, store: Store, jobs: int, data: str | None, seeds: set[int] | None = None) -> list[str]:
    """Makes all missing runs, or those of `seeds`, and returns the names of those that failed. Stopped at any time, the next call goes on."""
    if table.value == "seconds":
        # Times are those of one network at a time.
        jobs = 1
    missing = [run for run in store.missing(table) if seeds is None or run.seed in seeds]
    if not missing:
        return []
    watch = Stopwatch()
    watch.say(f"{table.name}: {len(missing)} of {len(table.runs())} runs to make")
    folder = ROOT / "target" / "experiments" / table.name
    place = data or call(ROOT / "scripts" / DATA[table.data]).strip()
    lock = threading.Lock()
    failed: list[str] = []

    def keep(run: Run, report: dict) -> None:
        report.pop("work_dir", None)
        with lock:
            store.path.parent.mkdir(exist_ok=True)
            for picture in run.pictures:
                shutil.copy(folder / run.digest / picture, store.picture(picture))
            store.put(run, {"report": report, "commit": commit(), "machine": machine()})
            left = len(store.missing(table))
            watch.say(f"{table.name}: {run.key} is done, {left} left")

    with Samplerd(folder / "daemon") as daemon, ThreadPoolExecutor(jobs) as pool:

        def make_one(run: Run) -> None:
            try:
                keep(run, train(store, run, place, folder) if run.command == "train" else search(run, place, folder, daemon.grpc))
            except SystemExit as error:
                watch.say(f"{table.name}: {run.key} failed: {error}")
                failed.append(f"{table.name}: {run.key}")

        # A run that takes another's sampler follows it.
        for stage in ([run for run in missing if run.sampler_of is None], [run for run in missing if run.sampler_of is not None]):
            try:
                for done in [pool.submit(make_one, run) for run in stage]:
                    done.result()
            except BaseException:
                # Interrupted or failed: what is under way ends, nothing more begins.
                pool.shutdown(cancel_futures=True)
                raise
    return failed


def placed(run: Run, place: str | Path) -> list[str]:
    """A run's options, with the folder of the data where they have {data}."""
    return [option.replace("{data}", str(place)) for option in run.options]


def train(store: Store, run: Run, place: str, folder: Path) -> dict:
    """Trains networks under a fixed sampler and loss."""
    work = folder / run.digest
    work.mkdir(parents=True, exist_ok=True)
    options = [*placed(run, place), "--data", place, "--seed", str(run.seed), "--work-dir", work, "--output", "json"]
    if run.sampler_of is not None:
        source = store.get(run.sampler_of)
        if source is None:
            sys.exit(f"it takes the sampler of {run.sampler_of.key}, which failed")
        spec = work / "sampler.json"
        spec.write_text(json.dumps(source["report"]["winner"]["sampler"]))
        options += ["--sampler", spec]
    return json.loads(call(binary("searcher"), "train", *options, quiet=True))


def search(run: Run, place: str, folder: Path, daemon: str) -> dict:
    """Searches, retrains, and adds how the best objective rose from trial to trial."""
    study = f"{run.table}-{run.digest}"
    work = folder / run.digest
    options = [*placed(run, place), "--data", place, "--seed", str(run.seed), "--work-dir", work, "--jobs", "1"]
    call(binary("searcher"), *options, "--study", study, "--daemon", daemon, "--output", "json", quiet=True)
    report = json.loads((work / "report.json").read_text())
    trials = json.loads(call(binary("searcher"), "show", study, "--daemon", daemon, "--output", "json", quiet=True))["trials"]
    searched = [trial for trial in trials if trial["purpose"] in ("baseline", "initial", "search")]
    report["objectives"] = [trial["objective"] for trial in searched]
    retrained = [trial["seconds"] for trial in trials if trial["purpose"] == "retrain"]
    confirmed = [trial["seconds"] for trial in trials if trial["purpose"] == "confirm"]
    report["seconds_of_trials"] = sum(trial["seconds"] for trial in searched) + sum(confirmed) + sum(retrained[:1])
    return report


def commit() -> str:
    """The commit that is run, marked where code was changed since."""
    code = ["--", ".", ":!experiments", ":!*.md"]
    revision = call("git", "-C", ROOT, "log", "-1", "--format=%h", *code, quiet=True).strip()
    return revision + (", changed" if call("git", "-C", ROOT, "status", "--porcelain", *code, quiet=True).strip() else "")


def machine() -> str:
    """What it runs on."""
    return f"{platform.machine()}, {os.cpu_count()} cores"
