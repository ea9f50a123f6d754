"""How much objectives of one sampler differ by chance: equal fine-tunings under other seeds, in several modes of drawing."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from processes import Samplerd, Stopwatch, binary, environment, run

POLL_SECONDS = 2.0


def measure(name: str, experiment: dict, data: str, work: Path) -> list[dict]:
    """Prepares each data seed by a small search, and runs every sampler in every mode under every training seed there."""
    try:
        from swift_sampler import Client
    except ImportError:
        sys.exit("the client is not installed: run `scripts/setup-python demo`, and this script by .venv/bin/python")
    watch, reports = Stopwatch(), []
    with Samplerd(work / "daemon") as daemon:
        client = Client(daemon.grpc)
        for seed in experiment["seeds"]:
            prepared, study, folder = f"{name}-{seed}", f"{name}-{seed}-replicates", work / f"seed{seed}"
            run(
                binary("searcher"), *experiment["options"], "--data", data, "--seed", str(seed), "--daemon", daemon.grpc,
                "--study", prepared, "--work-dir", folder, quiet=False,
            )
            client.create_study(study, prepared, client.study(prepared).config)
            add_trials(client, study, prepared, experiment)
            watch.say(study)
            with subprocess.Popen(
                [binary("searcher"), "worker", "--until-stdin-closes", "--study", study, "--daemon", daemon.grpc, "--work-dir", folder],
                stdin=subprocess.PIPE,
                env=environment(),
            ) as worker:
                while any(trial.state in ("pending", "running") for trial in client.trials(study)):
                    if worker.poll() is not None:
                        sys.exit(f"the worker of {study} ended with {worker.returncode}")
                    time.sleep(POLL_SECONDS)
            trials = client.trials(study)
            if any(trial.objective is None for trial in trials):
                sys.exit(f"{study}: a trial came to nothing, see {folder}")
            reports += [
                {
                    "data_seed": seed,
                    "sampler": trial.parameters["label"],
                    "mode": trial.parameters["mode"],
                    "seed": trial.parameters["seed"],
                    "objective": trial.objective,
                }
                for trial in trials
            ]
    return reports


def add_trials(client: object, study: str, dataset: str, experiment: dict) -> None:
    """Adds the trials that are missing, in the same order each time."""
    versions = {label: client.put_sampler(dataset, spec).version for label, spec in experiment["samplers"].items()}
    wanted = [
        ({"label": label, "sampler": experiment["samplers"][label], "mode": mode, "seed": seed}, version)
        for seed in range(experiment["replicates"])
        for label, version in versions.items()
        for mode in experiment["modes"]
    ]
    fixed = {"purpose": "confirm", "point": [], "behaviour": [], "epochs": experiment["epochs"], "start": "last"}
    for number in range(client.study(study).trials, len(wanted)):
        parameters, version = wanted[number]
        client.add_trial(study, number, fixed | parameters, version)


def page(name: str, experiment: dict, reports: list[dict]) -> str:
    """The results for people."""
    labels, modes = list(experiment["samplers"]), experiment["modes"]
    objectives = {
        (label, mode): {(report["data_seed"], report["seed"]): report["objective"] for report in reports if report["sampler"] == label and report["mode"] == mode}
        for label in labels
        for mode in modes
    }
    lines = [
        f"# {experiment['title']}",
        "",
        f"Written by `make experiments EXP={name}` from [`{name}.json`](../{name}.json); every number is in [results.json](results.json).",
        "",
        *experiment["description"],
        "",
        f"| draws | {' | '.join(f'{label}, %' for label in labels)} | sd, pooled | last less {', '.join(labels[:-1])}: mean ± sd of a pair of one seed (of two seeds) |",
        "|---|" + "---|" * (len(labels) + 2),
    ]
    for mode in modes:
        spreads = {label: spread(experiment["seeds"], objectives[label, mode]) for label in labels}
        pairs = []
        for label in labels[:-1]:
            differences = {key: value - objectives[label, mode][key] for key, value in objectives[labels[-1], mode].items()}
            apart = (spreads[label] ** 2 + spreads[labels[-1]] ** 2) ** 0.5
            pairs.append(f"{100 * statistics.mean(differences.values()):+.2f} ± {100 * spread(experiment['seeds'], differences):.2f} ({100 * apart:.2f})")
        means = [f"{100 * statistics.mean(objectives[label, mode].values()):.2f} ± {100 * spreads[label]:.2f}" for label in labels]
        pooled = statistics.mean(value**2 for value in spreads.values()) ** 0.5
        lines.append(f"| {mode} | {' | '.join(means)} | {100 * pooled:.2f} | {', '.join(pairs)} |")
    return "\n".join([*lines, ""])


def spread(data_seeds: list[int], values: dict[tuple[int, int], float]) -> float:
    """The standard deviation within a data seed, pooled over them."""
    groups = [[value for (of, _), value in values.items() if of == seed] for seed in data_seeds]
    return statistics.mean(statistics.variance(group) for group in groups) ** 0.5
