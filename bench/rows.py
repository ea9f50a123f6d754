"""The rows of the table of results: what is measured, what is to be reached, beside whom, and what that leaves out.

One list, in the table's order. A section measures some of the rows and is run as a whole.
"""

from dataclasses import dataclass
from statistics import median

SWIFT = "swift"
"""Ours, among those measured."""

MILLION = 1_000_000
NOISE_FACTOR = 2
NOISE = 1.0
"""In the row's unit."""


@dataclass(frozen=True)
class Target:
    """What a row's median must be, or how it must compare with a peer's median."""

    text: str
    at_least: float | None = None
    at_most: float | None = None
    times: float | None = None
    """So many times as good as the peer `against`."""
    against: str = ""
    as_in_row: str = ""
    """As good as ours in the row of this key, but for a factor of two and a millisecond of noise."""

    def reached(
        self, ours: float, peers: dict[str, float], more_is_better: bool, other_rows: dict[str, float]
    ) -> bool | None:
        """Tells whether it is reached; None where what it is compared with was not measured."""
        if self.times is not None:
            if self.against not in peers:
                return None
            return ratio(ours, peers[self.against], more_is_better) >= self.times
        if self.as_in_row:
            other = other_rows.get(self.as_in_row)
            return None if other is None else ours <= NOISE_FACTOR * other + NOISE
        return (self.at_least is None or ours >= self.at_least) and (self.at_most is None or ours <= self.at_most)


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    key: str
    section: str
    what: str
    unit: str
    target: Target | None = None
    peers: tuple[str, ...] = ()
    more_is_better: bool = True
    fairness: str = ""
    """What the comparison leaves out, and whom it favours."""


def ratio(ours: float, peer: float, more_is_better: bool) -> float:
    """Returns how many times as good as the peer."""
    return ours / peer if more_is_better else peer / ours


def at_least(value: float, unit: str) -> Target:
    return Target(f"≥ {quantity(value)} {unit}", at_least=value)


def at_most(value: float, unit: str) -> Target:
    return Target(f"≤ {quantity(value)} {unit}", at_most=value)


def times_peer(times: float, peer: str, better: str) -> Target:
    return Target(f"≥ {times:g} × {better} than {peer}", times=times, against=peer)


def quantity(value: float) -> str:
    """Writes a value with three digits, millions as M."""
    if abs(value) >= 1000 * MILLION:
        return f"{value / MILLION:,.0f} M"
    if abs(value) >= MILLION:
        return f"{value / MILLION:.3g} M"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def centre(values: list[float]) -> float:
    """Returns the median."""
    return median(values)


# The peers, by the names their samples carry.
RAND_DISTR_SMALL = "rand_distr (SmallRng)"
RAND_DISTR_STD = "rand_distr (StdRng)"
TONIC = "tonic"
REVERB = "Reverb"
TF_DATA = "tf.data service"
WRS = "DataLoader + WeightedRandomSampler"
STATEFUL = "StatefulDataLoader + WeightedRandomSampler"
SPDL = "SPDL"
CPPRB = "cpprb"

PYTHON_PEERS = (REVERB, TF_DATA, WRS, STATEFUL, SPDL, CPPRB)

_ALIAS = (
    "The peer draws an index only, from one stateful generator; ours returns the probability too, and any draw by its number. "
    "The peer's table has an entry an example, in f32. SmallRng is the fastest generator of rand, StdRng its default."
)
_TONIC = (
    "The peer is the transport alone: the same tonic, the same messages, made once and sent again and again; its client counts "
    "draws and cuts nothing into batches. It cannot be beaten, only approached."
)
_PYTHON = (
    "Ours and Reverb and the tf.data service are processes of their own behind a socket; WeightedRandomSampler, StatefulDataLoader, SPDL "
    "and cpprb draw inside the trainer, for one trainer, and are spared the wire. Each is read by one thread without workers, as NumPy arrays of "
    "indices; ours, Reverb, the tf.data service and cpprb give probabilities or weights too. Reverb holds fewer items (it takes "
    "minutes to fill), which favours it. The tf.data service has no weighted draws: it is given an alias table written in TensorFlow. Rates are over "
    "whole epochs, so WeightedRandomSampler and SPDL pay for drawing each epoch at once; percentiles are between batches within an epoch."
)

_LOADER = (
    "The data set fetches a batch at once and, but where a row says so, returns the indices it is asked for as one array, so that only sampling and loader are "
    "measured. Ours hands it arrays (`indices=\"numpy\"`); torch's own samplers can only make lists. Whole epochs."
)

ROWS: tuple[Row, ...] = (
    # draws: in process, one thread
    *(
        Row(
            key=f"draws-{key}",
            section="draws",
            what=f"draws in process, one thread, with probability, {what}",
            unit="draws/s",
            target=at_least(target * MILLION, "draws/s"),
            peers=(RAND_DISTR_SMALL, RAND_DISTR_STD),
            fairness=_ALIAS,
        )
        for key, what, target in (
            ("1e5-cells", "10^5 cells", 100),
            ("1e6-cells", "10^6 cells", 40),
            ("5e7-examples", "5·10^7 examples", 20),
        )
    ),
    Row(
        key="draws-stratified",
        section="draws",
        what="stratified draws in process, one thread, 10^6 examples, planning included",
        unit="draws/s",
        target=at_least(20 * MILLION, "draws/s"),
        fairness="No peer draws stratified by weight.",
    ),
    # serving: over loopback, server and client sharing the machine
    *(
        Row(
            key=f"rust-{batch_size}",
            section="serving",
            what=f"served to a Rust client, batch {batch_size}, indices and probabilities, 10^6 examples",
            unit="indices/s",
            target=at_least(target * MILLION, "indices/s"),
            peers=(TONIC,),
            fairness=_TONIC,
        )
        for batch_size, target in ((256, 40), (4096, 60))
    ),
    *(
        row
        for batch_size, target in ((256, 10), (4096, 40))
        for row in (
            Row(
                key=f"python-{batch_size}",
                section="serving",
                what=f"served to Python as NumPy, batch {batch_size}, 10^6 examples",
                unit="indices/s",
                target=at_least(target * MILLION, "indices/s"),
                peers=PYTHON_PEERS,
                fairness=_PYTHON,
            ),
            Row(
                key=f"python-{batch_size}-p99",
                section="serving",
                what=f"the same, 99th percentile between batches, batch {batch_size}",
                unit="ms",
                target=at_most(1, "ms"),
                peers=PYTHON_PEERS,
                more_is_better=False,
                fairness=_PYTHON,
            ),
        )
    ),
    # trainers: through torch, and after a restart
    Row(
        key="loader-256",
        section="trainers",
        what="through a torch DataLoader(batch_sampler=…), batch 256, 10^6 examples, no workers",
        unit="indices/s",
        target=times_peer(5, WRS, "more"),
        peers=(WRS, STATEFUL),
        fairness=_LOADER,
    ),
    Row(
        key="loader-lists",
        section="trainers",
        what="the same, the batch sampler making lists, as data sets that fetch example by example want them",
        unit="indices/s",
    ),
    Row(
        key="loader-tensors",
        section="trainers",
        what="the same, arrays again, the data set fetching 4 numbers an example",
        unit="indices/s",
        peers=(WRS, STATEFUL),
        fairness=_LOADER,
    ),
    Row(
        key="loader-first",
        section="trainers",
        what="the first batch of an epoch through a torch DataLoader, 10^6 examples",
        unit="ms",
        target=times_peer(50, WRS, "sooner"),
        peers=(WRS, STATEFUL),
        more_is_better=False,
        fairness="From iter(loader) to the first batch of 256; the job, or the tensor of weights, exists already.",
    ),
    Row(
        key="resume-0",
        section="trainers",
        what="first batch after a restart of the trainer, at the start of an epoch of 10^6 examples",
        unit="ms",
        peers=(STATEFUL,),
        more_is_better=False,
        fairness="The sampler object is new; starting Python and importing are left out for both.",
    ),
    Row(
        key="resume-90",
        section="trainers",
        what="first batch after a restart of the trainer, at 90% of the epoch",
        unit="ms",
        target=Target("as at the start: ≤ 2 × + 1 ms", as_in_row="resume-0"),
        peers=(STATEFUL,),
        more_is_better=False,
        fairness="StatefulDataLoader replays the sampler up to the state's batch.",
    ),
    Row(
        key="trial-overhead",
        section="trainers",
        what="share of a trial's training time spent waiting for the daemon's batches, batch 256",
        unit="%",
        target=at_most(2, "%"),
        more_is_better=False,
        fairness=(
            "A trial's network and batches of the size of Fashion-MNIST, on one core, the first batch included; results.json has the times with "
            "the daemon and with batches made beforehand."
        ),
    ),
    # crops: selected among a trainer's proposals
    *(
        Row(
            key=f"crops-{key}",
            section="crops",
            what=what,
            unit=unit,
            more_is_better=more_is_better,
            fairness=(
                "A job's step a request, one after another, from Python: the features of 512 crops go out as f64, the daemon freezes the "
                "step, weighs the crops by a sampler over 10^6 examples and answers with the 256 that it keeps. Computing the features is left out. "
                "No peer selects among examples that it does not hold."
            ),
        )
        for key, what, unit, more_is_better in (
            ("requests", "requests to keep 256 of 512 proposed crops, one trainer in Python", "requests/s", True),
            ("kept", "the same, crops kept", "crops/s", True),
            ("p50", "the same, median time of a request", "ms", False),
            ("p99", "the same, 99th percentile", "ms", False),
        )
    ),
    # swap: a new sampler under a running job
    Row(
        key="swap-first",
        section="swap",
        what="hot swap: activate to the first index of the new version, 1.28·10^6 examples",
        unit="ms",
        target=at_most(10, "ms"),
        peers=(REVERB, WRS, CPPRB),
        more_is_better=False,
        fairness=(
            "Ours counts from the call that activates to the first batch of the new version at a streaming client, the build "
            "and the commit to disk included. Reverb: every priority updated by its client (fewer items, so the time is scaled to as many); "
            "cpprb: update_priorities of all; WeightedRandomSampler: a new sampler and its first index. None of them keeps what it was "
            "before, or tells a batch's version."
        ),
    ),
    Row(
        key="swap-put",
        section="swap",
        what="the same, storing the sampler included",
        unit="ms",
        more_is_better=False,
    ),
    Row(
        key="swap-gaps",
        section="swap",
        what="the same, how much the 99.9th percentile between batches of running streams grows",
        unit="ms",
        target=at_most(1, "ms"),
        more_is_better=False,
    ),
    Row(
        key="swap-build",
        section="swap",
        what="of which building the sampler, in process, 1.28·10^6 examples",
        unit="ms",
        more_is_better=False,
    ),
    # clients: many readers
    *(
        Row(
            key=f"clients-{clients}",
            section="clients",
            what=f"{clients} client{'s' if clients > 1 else ''} at once, a process, a connection and a job each, batch 1024, all together",
            unit="indices/s",
        )
        for clients in (1, 2, 8, 100)
    ),
    Row(
        key="streams-10000",
        section="clients",
        what="10,000 streams (100 connections of 100, a job each whose batch of 25,600 they share), all together",
        unit="indices/s",
    ),
    *(
        Row(
            key=f"fairness-{key}",
            section="clients",
            what=f"fairness among {what}: (Σx)² / (n Σx²) of the readers' indices, 1 is equal",
            unit="",
        )
        for key, what in (("100", "100 clients"), ("10000", "10,000 streams"))
    ),
    # cells: exactness and cost by the number of features
    *(
        Row(
            key=f"distance-{features}",
            section="cells",
            what=f"total variation distance to the exact sampler, N = {features}, 4·10^6 examples, random specs",
            unit="",
            target=at_most(1e-3, "") if features == 2 else None,
            more_is_better=False,
        )
        for features in range(1, 7)
    ),
    *(
        Row(
            key=f"build-{features}",
            section="cells",
            what=f"building the sampler, N = {features}, 4·10^6 examples",
            unit="ms",
            more_is_better=False,
        )
        for features in range(1, 7)
    ),
    # memory and the life of a large dataset
    Row(
        key="memory",
        section="memory",
        what="memory an example at N = 2 while it is served, 10^7 examples, shared by all jobs",
        unit="bytes",
        target=at_most(10, "bytes"),
        peers=(REVERB, WRS, CPPRB),
        more_is_better=False,
        fairness=(
            "Growth of the process's resident memory over an empty one's, mapped files that were touched included. Reverb's has one "
            "number an item, and fewer items; WeightedRandomSampler's is a worker's, while it iterates."
        ),
    ),
    Row(
        key="import-rate",
        section="large",
        what="import of 5·10^8 examples from Parquet shards, features and gradient norm as f32",
        unit="rows/s",
        target=at_least(5 * MILLION, "rows/s"),
    ),
    Row(
        key="import-memory",
        section="large",
        what="the same, the daemon's largest memory against the dataset's final size",
        unit="×",
        target=at_most(2, "×"),
        more_is_better=False,
    ),
    Row(
        key="open",
        section="large",
        what="opening 5·10^8 examples again: start of the daemon to its first batch",
        unit="ms",
        target=at_most(2000, "ms"),
        more_is_better=False,
        fairness="The files are in the page cache, as after a restart; all bytes are checked in the background meanwhile. Swaps and memory are measured after that.",
    ),
    Row(
        key="large-swap",
        section="large",
        what="hot swap: activate to the first index of the new version, 5·10^8 examples",
        unit="ms",
        target=at_most(60, "ms"),
        more_is_better=False,
    ),
    Row(
        key="large-swap-put",
        section="large",
        what="the same, storing the sampler included",
        unit="ms",
        more_is_better=False,
    ),
    Row(
        key="large-swap-gaps",
        section="large",
        what="the same, how much the 99.9th percentile between batches of running streams grows",
        unit="ms",
        target=at_most(1, "ms"),
        more_is_better=False,
    ),
    Row(
        key="large-memory",
        section="large",
        what="memory an example while it is served, 5·10^8 examples",
        unit="bytes",
        target=at_most(10, "bytes"),
        more_is_better=False,
    ),
)

SECTIONS = tuple(dict.fromkeys(row.section for row in ROWS))
"""The sections, in the table's order."""


def row(key: str) -> Row:
    """Returns the row of this key."""
    for candidate in ROWS:
        if candidate.key == key:
            return candidate
    raise KeyError(f"no row {key!r}: the rows are {', '.join(candidate.key for candidate in ROWS)}")
