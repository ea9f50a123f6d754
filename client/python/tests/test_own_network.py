"""A user's own module, data and feature go through a whole small study of the real searcher."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import torch
from conftest import BINARIES, Samplerd
from torch import nn

import swift_sampler

EXAMPLES = 400
CLASSES = 4


def write_data(folder: Path) -> Path:
    """Vectors around one centre a class, as an npz file, and the examples' radius as a column."""
    random = np.random.default_rng(0)
    labels = random.integers(0, CLASSES, EXAMPLES)
    x = (random.normal(size=(EXAMPLES, 6)) + 2 * np.eye(6)[labels]).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=labels)
    radius = np.linalg.norm(x, axis=1)
    (folder / "columns.csv").write_text("radius\n" + "".join(f"{value}\n" for value in radius))
    return folder / "data.npz"


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, CLASSES))


def search(samplerd: Samplerd, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [BINARIES / "searcher", "--daemon", samplerd.address, "--work-dir", folder / "work", *options]
    command += ["--data", folder / "data.npz", "--start-epochs", "10", "--batch-size", "16", "--trials", "5", "--epochs", "1", "--confirm", "1"]
    command += ["--finalists", "1", "--finalist-seeds", "1", "--jobs", "1", "--label-noise", "0.2", "--output", "json"]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def test_a_scripted_network_is_searched_for_with_a_feature_of_the_user(samplerd: Samplerd, tmp_path: Path) -> None:
    write_data(tmp_path)
    model = tmp_path / "model.pt"
    torch.jit.script(network()).save(str(model))
    options = ["--target", model, "--study", "own", "--features", "loss,radius", "--columns", tmp_path / "columns.csv"]
    result = search(samplerd, tmp_path, *map(str, options))
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["target"] == "model"
    assert report["winner"]["sampler"].get("features", ["loss", "radius"]) == ["loss", "radius"]
    assert "alone" not in result.stderr, "the last layer is linear, so its gradient norm is had in full"
    assert all(sampler["test_accuracy"]["mean"] > 1.5 / CLASSES for sampler in report["samplers"]), report

    dataset = swift_sampler.Client(samplerd.address).dataset("own")
    assert dataset.features == ["loss", "radius"]
    # A fifth each is held out for validation and test.
    assert dataset.rows == EXAMPLES * 3 // 5
    # The checkpoint is a module again, whose batch norm has seen the data.
    trained = torch.jit.load(str(tmp_path / "work" / "start.pt"))
    assert int(trained.state_dict()["1.num_batches_tracked"]) > 0

    # Another network under the same name is another study.
    torch.jit.script(network()[:1].append(nn.Linear(16, CLASSES))).save(str(model))
    again = search(samplerd, tmp_path, *map(str, options))
    assert again.returncode == 3 and "sha256" in again.stderr, again.stderr


def test_a_state_dict_is_refused_with_the_way_to_save_a_module(samplerd: Samplerd, tmp_path: Path) -> None:
    write_data(tmp_path)
    torch.save(network().state_dict(), tmp_path / "model.pt")
    result = search(samplerd, tmp_path, "--target", str(tmp_path / "model.pt"))
    assert result.returncode == 5
    assert 'torch.jit.script(model).save("model.pt")' in result.stderr
