"""Weighted batches without a server, as in a notebook: 35% of the labels are wrong, and a sampler learns to leave them out.

    python engine.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from swift_sampler import Engine, features

CLASSES, EXAMPLES, PIXELS = 5, 4000, 100
WRONG = 0.35
BATCH_SIZE, EPOCHS = 64, 12

# %% Data: five blobs. The labels of the training examples are often wrong, those of the test examples are not.
generator = np.random.default_rng(0)
centres = generator.normal(0, 0.35, (CLASSES, PIXELS))


def blobs(examples: int) -> tuple[np.ndarray, np.ndarray]:
    labels = generator.integers(CLASSES, size=examples)
    return centres[labels] + generator.normal(size=(examples, PIXELS)), labels


images, right_labels = blobs(EXAMPLES)
wrong = generator.random(EXAMPLES) < WRONG
labels = np.where(wrong, (right_labels + generator.integers(1, CLASSES, EXAMPLES)) % CLASSES, right_labels)
test_images, test_labels = blobs(2000)


# %% A network, trained on the batches of an engine.
def train(engine: Engine) -> np.ndarray:
    weights = np.zeros((PIXELS, CLASSES))
    for batch in engine.batches(0, engine.first_step(EPOCHS)):
        x, y = images[batch.indices], labels[batch.indices]
        exponentials = np.exp(x @ weights)
        softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
        softmax[np.arange(len(y)), y] -= 1
        weights -= 0.2 * x.T @ softmax / len(y)
    return weights


def accuracy(weights: np.ndarray) -> float:
    return float(((test_images @ weights).argmax(axis=1) == test_labels).mean())


# %% First under the uniform sampler. Its logits give the features of every example.
uniform = Engine({"number": np.arange(EXAMPLES)}, features=["number"], batch_size=BATCH_SIZE, seed=1)
start = train(uniform)
print(f"uniform sampler: {accuracy(start):.1%} of the test examples are right")
columns = features.columns(images @ start, labels, images)

# %% Then under one that prefers small losses. The features may come from a file as well.
small_losses = {
    "kind": "swift",
    "features": ["loss", "entropy"],
    "coefficients": [1, 0],
    "knots": [0.55, 0.65, 0.7],
    "values": [1, 1, 0.2, 0, 0],
    "transform": "cdf",
}
with TemporaryDirectory() as folder:
    np.savez(Path(folder) / "features.npz", **columns)
    engine = Engine(Path(folder) / "features.npz", small_losses, batch_size=BATCH_SIZE, seed=1)
print(f"wrong labels: {wrong.mean():.0%} of the examples, {engine.probabilities[wrong].sum():.0%} of the draws")
print(f"small losses: {accuracy(train(engine)):.1%} of the test examples are right")

# %% A sampler can be swapped between two steps. What was drawn before does not change.
step = engine.first_step(6)
version = engine.activate_at(step, {"kind": "uniform"})
print(f"from step {step} on, version {version}: {engine.log}")
