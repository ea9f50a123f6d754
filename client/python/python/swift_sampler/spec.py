"""Sampler specs: the JSON objects that name a sampler."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Union

Spec = Union[str, Mapping[str, Any]]
"""A spec, as an object or as JSON text:

- ``{"kind": "uniform"}``
- ``{"kind": "column", "column": "w"}``
- ``{"kind": "swift", "features": ["loss", "entropy"], "coefficients": [c1, c2], "knots": [e1, e2, e3],
  "values": [v0, v1, v2, v3, v4]}``, optionally with ``"transform": "cgf"`` or ``"cdf"``
"""


def spec_json(spec: Spec) -> str:
    """Returns a spec as JSON text."""
    return spec if isinstance(spec, str) else json.dumps(dict(spec))
