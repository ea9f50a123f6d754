"""The sections: each sets up what it needs and gives the arms that are measured in turns."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.measuring import Arm, Context
from bench.sections.cells import cells
from bench.sections.clients import clients
from bench.sections.crops import crops
from bench.sections.draws import draws
from bench.sections.large import large
from bench.sections.memory import memory
from bench.sections.serving import serving
from bench.sections.swap import swap
from bench.sections.trainers import trainers

Section = Callable[[Context], AbstractContextManager[list[Arm]]]

SECTIONS: dict[str, Section] = {
    "draws": draws,
    "serving": serving,
    "trainers": trainers,
    "crops": crops,
    "swap": swap,
    "clients": clients,
    "cells": cells,
    "memory": memory,
    "large": large,
}
