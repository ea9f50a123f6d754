"""A study that `searcher export --format optuna` wrote, opened by the real Optuna and the real optuna-dashboard."""

from __future__ import annotations

import json
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import optuna
import optuna_dashboard
import pytest
from conftest import BINARIES, Samplerd
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

TRIALS = 8
# Answers and trials come within this.
WAIT_MAX_SECONDS = 120
PARAMETERS = ["c1", "c2", "e1", "e2", "e3", "v0", "v1", "v2", "v3", "v4"]


def searcher(address: str, *arguments: str | Path) -> str:
    """Runs a command of the searcher and returns what it printed."""
    command = [BINARIES / "searcher", *arguments, "--daemon", address]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=WAIT_MAX_SECONDS).stdout


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The journal of a study that has ended, and what `searcher show` says of it."""
    folder = tmp_path_factory.mktemp("study")
    daemon = Samplerd(folder)
    search = ["--target", "simulated", "--label-noise", "0.4", "--train-examples", "2000", "--seed", "1", "--jobs", "2"]
    search += ["--trials", str(TRIALS), "--epochs", "2", "--finalists", "1", "--finalist-seeds", "1", "--confirm", "1"]
    searcher(daemon.address, *search, "--study", "s", "--work-dir", folder / "work")
    journal = folder / "journal.log"
    journal.write_text(searcher(daemon.address, "export", "s", "--format", "optuna"))
    yield journal, json.loads(searcher(daemon.address, "show", "s", "--output", "json"))
    daemon.kill()


def test_optuna_loads_every_trial(exported: tuple[Path, dict[str, Any]]) -> None:
    journal, shown = exported
    storage = JournalStorage(JournalFileBackend(str(journal)))
    assert list(optuna.get_all_study_names(storage)) == ["s", "s-retraining"]
    study = optuna.load_study(study_name="s", storage=storage)
    short = [trial for trial in shown["trials"] if trial["purpose"] != "retrain"]
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert len(study.trials) == len(short) > TRIALS
    for trial, ours in zip(study.trials, short):
        assert trial.state == optuna.trial.TrialState.COMPLETE
        assert (trial.number, trial.value) == (ours["number"], ours["objective"])
        assert (trial.user_attrs["purpose"], trial.user_attrs["sampler_version"]) == (ours["purpose"], ours["version"])
        assert list(trial.intermediate_values.values()) == [epoch["validation_accuracy"] for epoch in ours["epochs"]]
        assert list(trial.params) == PARAMETERS and list(trial.distributions) == PARAMETERS
        assert all(trial.distributions[name]._contains(value) for name, value in trial.params.items())
        if ours["sampler"]["kind"] == "swift":
            spec = ours["sampler"]
            assert list(trial.params.values()) == spec["coefficients"] + spec["knots"] + spec["values"]
        assert trial.datetime_start is not None and trial.datetime_complete is not None
        assert trial.datetime_start <= trial.datetime_complete
    assert study.best_value == max(trial["objective"] for trial in short)
    retrained = optuna.load_study(study_name="s-retraining", storage=storage)
    assert [trial.user_attrs["purpose"] for trial in retrained.trials] == ["retrain", "retrain"]


class Quiet(WSGIRequestHandler):
    """Answers without a line for each."""

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""


def test_optuna_dashboard_shows_the_study(exported: tuple[Path, dict[str, Any]]) -> None:
    journal, shown = exported
    application = optuna_dashboard.wsgi(str(journal))
    with make_server("127.0.0.1", 0, application, handler_class=Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def get(path: str) -> Any:
            address = f"http://127.0.0.1:{server.server_port}{path}"
            with urllib.request.urlopen(address, timeout=WAIT_MAX_SECONDS) as answer:
                return json.load(answer)

        studies = get("/api/studies")["study_summaries"]
        assert [study["study_name"] for study in studies] == ["s", "s-retraining"]
        study = get(f"/api/studies/{studies[0]['study_id']}")
        short = [trial for trial in shown["trials"] if trial["purpose"] != "retrain"]
        assert [trial["values"] for trial in study["trials"]] == [[trial["objective"]] for trial in short]
        assert sorted(parameter["name"] for parameter in study["trials"][0]["params"]) == PARAMETERS
        assert {trial["state"] for trial in study["trials"]} == {"Complete"}
        server.shutdown()
