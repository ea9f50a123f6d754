"""A program of one's own as a trial: in this process, and as a script."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import BINARIES, STOP_MAX_SECONDS, Samplerd, first_line

from swift_sampler import Client, Engine, FailedPrecondition
from swift_sampler._native import seed_for
from swift_sampler.trial import RunningTrial, TrialLost, command, current, worker

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "trial.py"
ROWS = 1000
TRAINING = {"batch_size": 50, "epochs": 3, "retrain_epochs": 6, "start": "last"}


@pytest.fixture
def study(client: Client, dataset: str) -> str:
    client.create_study("s", dataset, {"training": TRAINING}, attempts_max=2)
    return "s"


def add(client: Client, study: str, **parameters: object) -> int:
    number = client.study(study).trials
    client.add_trial(study, number, {"purpose": "search", "seed": 7 + number, **parameters}, 1)
    return number


def test_a_function_is_run_for_each_trial_on_its_jobs_batches(client: Client, study: str, columns: dict[str, np.ndarray]) -> None:
    add(client, study, mode="stratified")
    add(client, study, purpose="retrain")
    add(client, study, epochs=2, start="best")
    drawn: list[list[list[int]]] = []

    def function(t: RunningTrial) -> float:
        drawn.append([batch.indices.tolist() for batch in t.batches(2)])
        assert [len(list(t.batch_sampler())), t.job.follow] == [ROWS // 50, 1]
        return 0.25 * t.epochs + len(t.start)

    assert worker(study, function, daemon=client, trials_max=3) == 3
    assert [trial.objective for trial in client.trials(study)] == [0.75 + 4, 1.5 + 7, 0.5 + 4]
    for number, mode in enumerate(["stratified", "independent"]):
        engine = Engine(columns, batch_size=50, seed=seed_for(7 + number, 0, "draws"), mode=mode)
        assert drawn[number] == [batch.indices.tolist() for batch in engine.batches(20, 40)]
    assert client.jobs() == [], "a told trial's job is of no more use"


def test_reports_are_kept_and_a_hopeless_trial_stops(client: Client, study: str) -> None:
    add(client, study, stop_below=[0.1, 0.5])

    def function(t: RunningTrial) -> None:
        going = [t.report(epoch, accuracy, loss) for epoch, accuracy, loss in [(1, 0.1, 2.0), (2, 0.4, None)]]
        assert going == [True, False]

    worker(study, function, daemon=client, trials_max=1)
    trial = client.trials(study)[0]
    assert (trial.state, trial.objective, trial.report["stopped"]) == ("succeeded", 0.4, True)
    epochs = [(one["epoch"], one["training_loss"], one["validation_accuracy"]) for one in trial.report["epochs"]]
    assert epochs == [(1, 2.0, 0.1), (2, None, 0.4)]


def test_numbers_that_are_not_finite_are_infeasible(client: Client, study: str) -> None:
    add(client, study)
    worker(study, lambda t: None if t.report(1, 0.5, float("nan")) else None, daemon=client, trials_max=1)
    trial = client.trials(study)[0]
    assert (trial.state, trial.reason) == ("infeasible", "the training loss of epoch 1 is nan")


def test_an_exception_fails_the_attempt_and_not_the_worker(client: Client, study: str) -> None:
    add(client, study)
    tried = []

    def function(t: RunningTrial) -> float:
        tried.append(t.attempt.attempt)
        if len(tried) == 1:
            raise MemoryError("out of memory")
        return 0.5

    assert worker(study, function, daemon=client, trials_max=2) == 2
    trial = client.trials(study)[0]
    assert (tried, trial.objective, trial.attempt) == ([1, 2], 0.5, 2)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda t: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda t: None, "RuntimeError: there is no objective to tell: report an epoch's accuracy, or tell an objective"),
        (lambda t: t.report(2, 0.5), "ValueError: epoch 2 is reported after 0: report each epoch once, in order, from 1"),
        (command(sys.executable, "-c", "import sys; sys.exit('no data')"), f"RuntimeError: {sys.executable} ended with exit code 1: no data"),
        (command(sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"), f"RuntimeError: {sys.executable} was killed by signal 9: "),
        (command(sys.executable, "-c", "print('done')"), f"RuntimeError: {sys.executable} told no score: "),
    ],
)
def test_a_failure_says_why(client: Client, study: str, function: Callable[[RunningTrial], None], reason: str) -> None:
    add(client, study)
    worker(study, function, daemon=client, trials_max=1)
    trial = client.trials(study)[0]
    assert trial.state == "pending" and trial.reason.startswith(reason), trial.reason


def test_ctrl_c_gives_the_trial_back(client: Client, study: str) -> None:
    add(client, study)

    def function(t: RunningTrial) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker(study, function, daemon=client, name="w")
    trial = client.trials(study)[0]
    assert (trial.state, trial.reason) == ("pending", "worker 'w' was told to stop: KeyboardInterrupt")


def test_a_trial_whose_study_ends_is_lost(client: Client, study: str) -> None:
    add(client, study)

    def function(t: RunningTrial) -> None:
        client.end_study(study)
        with pytest.raises(TrialLost):
            t.report(1, 0.5)
        lost.append(t.number)

    lost: list[int] = []
    assert worker(study, function, daemon=client) == 1
    assert lost == [0] and client.trials(study)[0].objective is None


def test_a_script_outside_of_a_trial_is_told_how_to_start_one() -> None:
    with pytest.raises(RuntimeError, match="SWIFTSAMPLER_STUDY is not set: .* searcher --trial-command"):
        current({})


def test_a_script_finds_its_trial_in_the_environment(client: Client, study: str) -> None:
    add(client, study, stop_below=[0.25])
    seen: list[RunningTrial] = []

    def function(t: RunningTrial) -> None:
        found = current(t.environment())
        seen.extend([t, found])
        with found:
            assert not found.report(1, 0.2)
        t.told = True

    worker(study, function, daemon=client, trials_max=1)
    assert seen[0].attempt == seen[1].attempt
    assert (client.trials(study)[0].objective, client.trials(study)[0].report["stopped"]) == (0.2, True)
    with pytest.raises(RuntimeError, match="SWIFTSAMPLER_SEED is 'x': it must be a whole number"):
        current({**seen[0].environment(), "SWIFTSAMPLER_SEED": "x"})
    with pytest.raises(FailedPrecondition, match="has ended"):
        client.heartbeat(study, 0, 1, seen[0].attempt.worker)


@pytest.mark.parametrize(
    ("printed", "state", "objective"),
    [('{"objective": 0.5}', "succeeded", 0.5), ('{"infeasible": "nothing drawn"}', "infeasible", None)],
)
def test_the_last_json_line_is_the_score(client: Client, study: str, printed: str, state: str, objective: float | None) -> None:
    add(client, study)
    program = f"print('{{\"objective\": 0.1}}'); print('''{printed}'''); print('bye'); print(3)"
    worker(study, command(sys.executable, "-c", program), daemon=client, trials_max=1)
    trial = client.trials(study)[0]
    assert (trial.state, trial.objective) == (state, objective)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """What the example trains on: images that show their class through noise."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(10, (ROWS + 500,), generator=generator)
    images = torch.nn.functional.one_hot(labels, 10).repeat(1, 5).float() + 0.7 * torch.randn(len(labels), 50, generator=generator)
    data = {"images": images[:ROWS], "labels": labels[:ROWS]}
    data |= {"validation_images": images[ROWS:], "validation_labels": labels[ROWS:]}
    path = tmp_path / "data.pt"
    torch.save(data, path)
    return path


def test_the_example_has_twenty_lines_and_trains(client: Client, study: str, data: Path) -> None:
    body = ast.parse(EXAMPLE.read_text()).body[1:]
    lines = {line for node in body for line in range(node.lineno, node.end_lineno + 1)}
    code = [line for number, line in enumerate(EXAMPLE.read_text().splitlines(), 1) if number in lines and line.strip()]
    assert len(code) <= 20, code

    for seed in (3, 3):
        add(client, study, seed=seed)
    run = command(sys.executable, str(EXAMPLE), str(data))
    assert worker(study, run, daemon=client, trials_max=2) == 2
    first, second = client.trials(study)
    assert first.objective is not None and first.objective > 0.8, first
    assert [epoch["epoch"] for epoch in first.report["epochs"]] == [1, 2, 3]
    assert second.objective == first.objective, "equal seeds, equal results"


def test_a_search_runs_the_example_with_the_results_of_worker(client: Client, dataset: str, data: Path, tmp_path: Path) -> None:
    search = [BINARIES / "searcher", "--trial-command", f"{sys.executable} {EXAMPLE} {data}", "--dataset", dataset, "--study", "by-searcher"]
    search += ["--trials", "5", "--epochs", "2", "--batch-size", "50", "--finalists", "0", "--confirm", "1", "--retrain-epochs", "3", "--jobs", "1"]
    search += ["--daemon", client.address, "--work-dir", tmp_path / "work"]
    done = subprocess.run(search, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    by_searcher = client.trials("by-searcher")
    assert len(by_searcher) >= 5 and all(trial.state == "succeeded" for trial in by_searcher), by_searcher
    assert [len(trial.report["epochs"]) for trial in by_searcher[:5]] == [2] * 5
    client.create_study("by-worker", dataset, client.study("by-searcher").config)
    for trial in by_searcher[:4]:
        version = client.put_sampler(dataset, trial.parameters["sampler"]).version
        client.add_trial("by-worker", trial.number, trial.parameters, version)
    worker("by-worker", command(sys.executable, str(EXAMPLE), str(data)), daemon=client, trials_max=4)
    assert [trial.objective for trial in client.trials("by-worker")] == [trial.objective for trial in by_searcher[:4]]


def test_what_a_script_tells_by_grpc_stands_over_what_it_prints(client: Client, dataset: str, tmp_path: Path) -> None:
    script = tmp_path / "told.py"
    script.write_text(
        "import os\nfrom swift_sampler import Client\n"
        "study, number, attempt, worker = (os.environ['SWIFTSAMPLER_' + name] for name in ('STUDY', 'TRIAL', 'ATTEMPT', 'WORKER'))\n"
        "told = {'infeasible': 'draws nothing'} if number == '3' else {'objective': 0.5 + int(number) / 100}\n"
        "Client(os.environ['SWIFTSAMPLER_DAEMON']).tell(study, int(number), int(attempt), worker, **told)\n"
        "if number == '1': print('{\"objective\": 0.9}')\n"
        "if number == '2': raise SystemExit(3)\n"
    )
    search = [BINARIES / "searcher", "--trial-command", f"{sys.executable} {script}", "--dataset", dataset, "--study", "s", "--jobs", "2"]
    search += ["--trials", "5", "--finalists", "0", "--confirm", "0", "--daemon", client.address, "--work-dir", tmp_path / "work"]
    done = subprocess.run(search, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trials = client.trials("s")
    assert [trial.objective for trial in trials] == [0.5, 0.51, 0.52, None, 0.54]
    assert [(trial.state, trial.reason, trial.attempt) for trial in trials][2:4] == [("succeeded", "", 1), ("infeasible", "draws nothing", 1)]


def test_jobs_are_those_that_searchers_own_workers_open(samplerd: Samplerd, client: Client, tmp_path: Path) -> None:
    search = [BINARIES / "searcher", "--target", "simulated", "--study", "s", "--epochs", "1000000", "--jobs", "1"]
    search += ["--daemon", samplerd.address, "--work-dir", tmp_path / "work"]
    with subprocess.Popen(search, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        while not any(job.horizon > 0 for job in client.jobs()):
            assert running.poll() is None
        running.terminate()
        running.communicate(timeout=STOP_MAX_SECONDS)
    seen: list[RunningTrial] = []
    # Opening its job would fail had it other parameters.
    worker("s", lambda t: seen.append(t) or 0.5, daemon=client, trials_max=1)
    assert [(t.number, t.attempt.attempt, t.purpose, t.epochs) for t in seen] == [(0, 2, "baseline", 1_000_000)]
    assert client.trials("s")[0].objective == 0.5


def test_sigterm_gives_the_trial_back_at_once(samplerd: Samplerd, client: Client, study: str, tmp_path: Path) -> None:
    add(client, study)
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, time\nfrom swift_sampler import trial\n"
        "def train(t):\n    print(t.number, flush=True)\n    time.sleep(3600)\n"
        "trial.worker('s', train, daemon=sys.argv[1], name='w')\n"
    )
    running = subprocess.Popen([sys.executable, program, samplerd.address], stdout=subprocess.PIPE, text=True)
    assert first_line(running) == "0\n"
    running.terminate()
    assert running.wait(STOP_MAX_SECONDS) == 128 + 15
    trial = client.trials(study)[0]
    assert (trial.state, trial.reason) == ("pending", "worker 'w' was told to stop: SystemExit")
    assert json.loads(trial.report_json)["epochs"] == []
