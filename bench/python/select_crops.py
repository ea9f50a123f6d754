#!/usr/bin/env python3
"""Crops that samplerd selects for one trainer, one request after another.

Rows: crops-*.
"""

import argparse
import json
import time
import uuid

import numpy as np
from swift_sampler import Client

PROPOSED, KEPT = 512, 256
STEPS_FIRST = 20
"""Requests before the measurement."""
FEATURES_KEPT = 64
"""Different proposals that take turns: making them is not the daemon's work."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--daemon", required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    client = Client(arguments.daemon)
    job = f"bench/{uuid.uuid4()}"
    client.open_job(job, arguments.dataset, batch_size=KEPT)
    random = np.random.default_rng(3)
    features = [
        {"loss": random.standard_exponential(PROPOSED), "entropy": random.uniform(0, 2.3, PROPOSED)}
        for _ in range(FEATURES_KEPT)
    ]
    waits: list[float] = []
    end = time.perf_counter()
    for step in range(10**9):
        if step == STEPS_FIRST:
            waits.clear()
            end = time.perf_counter() + arguments.seconds
        elif step > STEPS_FIRST and time.perf_counter() >= end:
            break
        start = time.perf_counter()
        selected = client.select_crops(features[step % FEATURES_KEPT], KEPT, step=step, job=job, fill=True)
        waits.append(time.perf_counter() - start)
        assert len(selected.positions) == KEPT
    client.remove_job(job)
    rate = len(waits) / sum(waits)
    percentiles = dict(zip(("p50", "p99"), np.percentile(waits, (50, 99)) * 1e3, strict=True))
    values = {"crops-requests": rate, "crops-kept": rate * KEPT, "crops-p50": percentiles["p50"], "crops-p99": percentiles["p99"]}
    for row, value in values.items():
        print(json.dumps({"row": row, "value": value, "details": {"proposed": PROPOSED, "kept": KEPT}}))


if __name__ == "__main__":
    main()
