"""The optimisers that are compared: ours, and each peer in the configuration that it recommends for noisy functions."""

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from bench.environments import interpreter
from bench.machine import ROOT, commit
from bench.rows import SWIFT

FOLDER = ROOT / "bench" / "search" / "peers"
BINARY = ROOT / "target" / "release" / "swift-sampler-bench"
CUBE = "swift-cube"
"""Ours on the simulator without its kernel on what samplers do: the general optimiser that ours is elsewhere."""

OUR_SOURCES = ("optimiser", "gp", "acquisition", "behaviour", "lbfgs", "space", "landscape", "vectors")
"""What our proposals depend on, in searcher/src."""


@dataclass(frozen=True)
class Method:
    """An optimiser and how it is started."""

    key: str
    name: str
    configuration: str
    """One sentence for the table."""
    environment: str = ""
    """Of bench/search/peers/requirements-*.txt; empty where no package is needed."""
    module: str = ""
    argument: str = ""
    packages: tuple[str, ...] = ()
    replayable: bool = False
    """Takes observations of points that it has not suggested."""

    @property
    def ours(self) -> bool:
        return self.key in (SWIFT, CUBE)

    @property
    def domain(self) -> str:
        """What ours is told of the simulator; elsewhere, and to peers, everything is a cube."""
        return "sampler" if self.key == SWIFT else "cube"

    def command(self) -> list[str | Path]:
        """Returns what starts it."""
        if self.ours:
            return [BINARY, "optimise"]
        python = interpreter(f"search-{self.environment}") if self.environment else Path(sys.executable)
        return [python, "-m", f"bench.search.peers.{self.module}", *([self.argument] if self.argument else [])]

    def requirements(self) -> Path:
        """Returns the list of its packages."""
        return FOLDER / f"requirements-{self.environment}.txt"

    def version(self) -> str:
        """Returns a digest of what its runs depend on: runs of another version are not its own."""
        if self.ours:
            files = (path for name in OUR_SOURCES for path in (ROOT / "searcher/src").glob(f"{name}*"))
            sources = sorted(leaf for path in files for leaf in ([path] if path.is_file() else path.rglob("*.rs")))
        else:
            sources = [FOLDER / f"{self.module}.py", *([self.requirements()] if self.environment else [])]
        digest = hashlib.sha256()
        for source in sources:
            digest.update(source.read_bytes())
        return digest.hexdigest()[:12]

    def installed(self) -> dict[str, str]:
        """Returns the versions of its packages, of ours the commit."""
        if self.ours:
            return {"commit": commit()}
        if not self.packages:
            return {}
        code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
        python = interpreter(f"search-{self.environment}")
        done = subprocess.run([python, "-c", code, *self.packages], capture_output=True, text=True, check=True)
        return dict(zip(self.packages, done.stdout.split(), strict=True))


METHODS = (
    Method(SWIFT, "Swift Sampler", "On the simulator it looks at what samplers do to its examples, elsewhere at the cube."),
    Method(CUBE, "Swift Sampler, cube", "Ours without the kernel on what samplers do; on the simulator only."),
    Method("random", "random", "Uniform points; the best observed is recommended.", module="random_points"),
    Method(
        "optuna-tpe",
        "Optuna TPE",
        "`TPESampler(multivariate=True)`, which its documentation recommends; the best observed is recommended, `best_trial`.",
        "optuna",
        "optuna_study",
        "tpe",
        ("optuna",),
    ),
    Method(
        "optuna-gp",
        "Optuna GP",
        "`GPSampler(deterministic_objective=False)`, which fits the noise; the best observed is recommended, `best_trial`.",
        "optuna",
        "optuna_study",
        "gp",
        ("optuna", "torch"),
    ),
    Method(
        "bayes-opt",
        "bayesian-optimization",
        "Its default, an upper confidence bound of 2.576, after 5 random points; `alpha=0.01` for noise, as its tour advises.",
        "bayesian-optimization",
        "bayes_opt_loop",
        packages=("bayesian-optimization", "scikit-learn"),
        replayable=True,
    ),
    Method(
        "botorch-qlognei",
        "BoTorch qLogNEI",
        "`SingleTaskGP` and `qLogNoisyExpectedImprovement` as in its closed-loop tutorial: 10 Sobol points, 10 restarts of "
        "512 raw samples.",
        "botorch",
        "botorch_loop",
        "qlognei",
        ("botorch", "gpytorch", "torch"),
        replayable=True,
    ),
    Method(
        "botorch-ucb",
        "BoTorch UCB",
        "The same with `UpperConfidenceBound(beta=0.2)`, the weight of its and Ax's examples.",
        "botorch",
        "botorch_loop",
        "ucb",
        ("botorch", "gpytorch", "torch"),
        replayable=True,
    ),
    Method(
        "vizier",
        "Vizier",
        "Its default algorithm, the GP bandit `GP_UCB_PE`, as it comes.",
        "vizier",
        "vizier_designer",
        packages=("google-vizier", "jax"),
    ),
)


def method(key: str) -> Method:
    """Returns the method of a key."""
    return next(method for method in METHODS if method.key == key)
