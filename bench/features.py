"""Made-up features of plausible shapes, the same for the same seed: an exponential loss, an entropy that falls with it, a
gradient norm that grows with it."""

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CLASSES = 10
ROW_GROUP_ROWS = 1_000_000
SEGMENTS = 4
COLUMNS = ("loss", "entropy", "grad_norm")


def write_shards(folder: Path, rows: int, shards: int, *, seed: int = 1, processes: int = 1) -> list[Path]:
    """Writes Parquet files of f32 columns whose rows follow each other."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"features-{shard:03}.parquet" for shard in range(shards)]
    bounds = [rows * shard // shards for shard in range(shards + 1)]
    counts = [end - start for start, end in zip(bounds, bounds[1:])]
    seeds = [(seed, shard) for shard in range(shards)]
    if processes == 1:
        list(map(_write_shard, paths, counts, seeds))
    else:
        with ProcessPoolExecutor(processes) as pool:
            list(pool.map(_write_shard, paths, counts, seeds))
    return paths


def spec(number: int) -> dict[str, Any]:
    """Returns a random sampler, the same for the same number."""
    random = np.random.default_rng((7, number))
    return {
        "kind": "swift",
        "features": ["loss", "entropy"],
        "coefficients": random.uniform(-1, 1, 2).tolist(),
        "knots": random.uniform(0, 1, SEGMENTS - 1).tolist(),
        "values": random.uniform(0, 1, SEGMENTS + 1).tolist(),
    }


def write_spec(folder: Path, number: int) -> Path:
    """Writes a random sampler as samplerctl takes it."""
    path = folder / f"spec-{number}.json"
    path.write_text(json.dumps(spec(number)))
    return path


def _write_shard(path: Path, rows: int, seed: tuple[int, int]) -> None:
    random = np.random.default_rng(seed)
    schema = pa.schema([(name, pa.float32()) for name in COLUMNS])
    with pq.ParquetWriter(path, schema, use_dictionary=False, compression="none", write_statistics=False) as writer:
        for start in range(0, rows, ROW_GROUP_ROWS):
            size = min(ROW_GROUP_ROWS, rows - start)
            loss = random.standard_exponential(size, np.float32)
            entropy = np.float32(np.log(CLASSES)) * random.random(size, np.float32) / (1 + loss / 2)
            gradient_norm = np.float32(0.1) + loss * random.random(size, np.float32)
            writer.write_table(pa.table([loss, entropy, gradient_norm], schema=schema))
