"""How large a run is: in full as the table says, or small, to try it out."""

from dataclasses import dataclass

MILLION = 1_000_000


@dataclass(frozen=True)
class Scale:
    """Sizes of a run."""

    name: str
    repeats: int
    """Measurements of each."""
    seconds: float
    """Length of one measurement of a rate."""
    examples: int
    """Of the dataset that is served."""
    examples_swap: int
    """Of the one whose sampler is swapped."""
    examples_draws: int
    """Of the largest one drawn from in process."""
    examples_cells: int
    """Of the one whose cells are compared with exact ones."""
    examples_memory: int
    examples_large: int
    examples_large_fallback: int
    """Where the disk has no room for `examples_large`."""
    items_reverb: int
    """Items of a Reverb table, which are inserted one by one."""
    swaps: int
    """Activations a measurement."""
    steps_trial: int
    """Of training."""
    streams: int
    """A connection, of 100 connections."""


FULL = Scale(
    name="full",
    repeats=3,
    seconds=2.0,
    examples=MILLION,
    examples_swap=1_280_000,
    examples_draws=50 * MILLION,
    examples_cells=4 * MILLION,
    examples_memory=10 * MILLION,
    examples_large=500 * MILLION,
    examples_large_fallback=50 * MILLION,
    items_reverb=100_000,
    swaps=20,
    steps_trial=200,
    streams=100,
)

SMALL = Scale(
    name="small",
    repeats=2,
    seconds=0.5,
    examples=100_000,
    examples_swap=100_000,
    examples_draws=2 * MILLION,
    examples_cells=1_200_000,
    examples_memory=2 * MILLION,
    examples_large=3 * MILLION,
    examples_large_fallback=3 * MILLION,
    items_reverb=2_000,
    swaps=5,
    steps_trial=40,
    streams=10,
)

SCALES = {scale.name: scale for scale in (FULL, SMALL)}
