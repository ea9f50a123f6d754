"""A training job that pulls its batches from samplerd: a small network on Fashion-MNIST, in NumPy alone.

It follows whatever sampler is active: activate another one while it runs and it goes on, without a pause, with the
first step that was not frozen yet. On SIGTERM it finishes its step and tells which version served which steps.

    python train_numpy.py --daemon 127.0.0.1:7431 --dataset fashion --job train --data FOLDER_WITH_IDX_FILES
"""

import argparse
import gzip
import signal
import sys
import time
from pathlib import Path

import numpy as np

import swift_sampler

HIDDEN = 64
LEARNING_RATE = 0.1


def read_idx(folder: Path, name: str) -> np.ndarray:
    """Reads an IDX file of bytes, plain or gzipped."""
    path = folder / name
    content = path.read_bytes() if path.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


class Network:
    """784-64-10 with a rectified hidden layer, trained by plain SGD."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.hidden = generator.normal(0, (2 / 784) ** 0.5, (784, HIDDEN)).astype(np.float32)
        self.output = generator.normal(0, (1 / HIDDEN) ** 0.5, (HIDDEN, 10)).astype(np.float32)

    def step(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Takes one step of gradient descent and returns the batch's mean cross-entropy."""
        pixels = images.reshape(len(images), -1).astype(np.float32) / 255
        activation = np.maximum(pixels @ self.hidden, 0)
        logits = activation @ self.output
        exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = exponential / exponential.sum(axis=1, keepdims=True)
        rows = np.arange(len(labels))
        loss = -np.log(probabilities[rows, labels] + 1e-12).mean()
        probabilities[rows, labels] -= 1
        gradient = probabilities / len(labels)
        behind = (gradient @ self.output.T) * (activation > 0)
        self.output -= LEARNING_RATE * activation.T @ gradient
        self.hidden -= LEARNING_RATE * pixels.T @ behind
        return float(loss)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--daemon", help="address of samplerd")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--data", required=True, type=Path, help="folder with IDX files, image i that of the dataset's row i")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps-per-second", type=float, default=50.0, help="pace, so that other work gets its share")
    arguments = parser.parse_args()

    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))

    images = read_idx(arguments.data, "train-images-idx3-ubyte")
    labels = read_idx(arguments.data, "train-labels-idx1-ubyte")
    client = swift_sampler.Client(arguments.daemon)
    client.open_job(arguments.job, arguments.dataset, seed=arguments.seed, batch_size=arguments.batch_size)
    network = Network(arguments.seed)
    runs: list[tuple[int, int]] = []  # (first step, version)
    next_step, batch_longest = 0, 0.0
    asked = time.monotonic()
    for batch in client.batches(arguments.job):
        batch_longest = max(batch_longest, time.monotonic() - asked)
        if batch.step != next_step:
            sys.exit(f"step {batch.step} came where {next_step} was due")
        if not runs or runs[-1][1] != batch.version:
            runs.append((batch.step, batch.version))
            print(f"training job: from step {batch.step} on, sampler version {batch.version}", flush=True)
        loss = network.step(images[batch.indices], labels[batch.indices])
        next_step += 1
        if next_step % 1000 == 0:
            print(f"training job: step {next_step}, epoch {batch.epoch}, loss {loss:.3f}", flush=True)
        if stop:
            break
        time.sleep(1 / arguments.steps_per_second)
        asked = time.monotonic()
    edges = [first for first, _ in runs[1:]] + [next_step]
    served = ", ".join(f"version {version} steps {first}-{edge - 1}" for (first, version), edge in zip(runs, edges))
    print(f"training job: {next_step} steps, none lost and none repeated: {served}")
    print(f"training job: longest wait for a batch {batch_longest * 1000:.1f} ms")


if __name__ == "__main__":
    main()
