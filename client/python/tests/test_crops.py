"""Crops: those of a bank come with its draws, and proposed ones are selected by the daemon, under the real DataLoader."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SWIFT, random_columns, write_parquet
from torch.utils.data import DataLoader, Dataset

import swift_sampler
from swift_sampler import Client, Engine, FailedPrecondition, InvalidArgument, NotFound
from swift_sampler.crop_sampler import ATTEMPTS, propose
from swift_sampler.torch import BatchSampler, Crop, CropSampler

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "train_crops.py"
PROGRAM_MAX_SECONDS = 240
FIELDS = ("image", "top", "left", "height", "width", "flip")
IMAGES = 120
SIZE = (40, 60)
# Only small losses have a weight.
EASY = {
    "kind": "swift",
    "features": ["loss"],
    "coefficients": [1],
    "knots": [0.4, 0.6, 0.8],
    "values": [1, 1, 0, 0, 0],
    "transform": "cdf",
}


def bank(rows: int = 400) -> dict[str, np.ndarray]:
    """Features and boxes, four crops an image."""
    generator = np.random.default_rng(5)
    boxes = {name: generator.integers(1, 30, rows) for name in FIELDS[1:5]}
    return {**random_columns(rows, seed=2), "image": np.arange(rows) // 4, **boxes, "flip": generator.integers(0, 2, rows)}


@pytest.fixture
def crops(client: Client, tmp_path: Path) -> str:
    client.import_dataset("crops", write_parquet(tmp_path / "crops.parquet", bank()))
    return "crops"


def stacked(crops: swift_sampler.Crops | None) -> np.ndarray:
    assert crops is not None
    return np.stack([getattr(crops, name) for name in FIELDS], axis=1)


def test_a_banks_draws_carry_their_crops_in_a_daemon_an_engine_and_a_pickle(client: Client, crops: str) -> None:
    client.open_job("j", crops, batch_size=50, seed=9)
    columns = bank()
    expected = np.stack([columns[name] for name in FIELDS], axis=1)
    engine = Engine(columns, batch_size=50, seed=9)
    for batch in client.batches("j", 0, 20):
        assert batch.crops is not None and len(batch.crops) == 50
        assert batch.crops.image.dtype == np.uint32 and batch.crops.flip.dtype == np.uint8
        with pytest.raises(ValueError, match="read-only"):
            batch.crops.top[0] = 0
        for same in (batch, engine.batch(batch.step), pickle.loads(pickle.dumps(batch))):
            assert (stacked(same.crops) == expected[batch.indices]).all()
    assert all(batch.crops is None for batch in client.batches("j", 0, 3, crops=False))
    assert [batch.crops for batch in client.get_batches("j", 0, 2, crops=False)] == [None, None]


def test_a_dataset_without_boxes_has_no_crops(client: Client, dataset: str) -> None:
    client.open_job("j", dataset, batch_size=50)
    assert next(client.batches("j")).crops is None
    assert Engine(random_columns(50, seed=1), batch_size=5).batch(0).crops is None
    with pytest.raises(ValueError, match="no crop bank: it needs columns image, top, left, height and width"):
        next(iter(CropSampler(client, "j2", dataset, batch_size=50)))


def test_what_is_no_crop_is_refused_where_it_stands(client: Client, tmp_path: Path) -> None:
    columns = bank(20)
    columns["width"][7] = 0
    says = r'column "width", row 7 \(counted from 0\) is 0: it must be a whole number from 1'
    with pytest.raises(InvalidArgument, match=says):
        client.import_dataset("wrong", write_parquet(tmp_path / "wrong.parquet", columns))
    with pytest.raises(InvalidArgument, match=says):
        Engine(columns)


class Boxes(Dataset):
    """An example is what it was asked with."""

    def __getitem__(self, crop: Crop) -> torch.Tensor:
        assert isinstance(crop, Crop) and isinstance(crop.flip, bool)
        return torch.tensor(crop)


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork")])
def test_a_loader_gets_the_crops_of_a_bank_and_resumes(client: Client, crops: str, workers: int, start: str | None) -> None:
    def sampler() -> CropSampler:
        return CropSampler(client, "bank", crops, batch_size=32, seed=4)

    def loader(batches: CropSampler) -> DataLoader[torch.Tensor]:
        return DataLoader(Boxes(), batch_sampler=batches, num_workers=workers, multiprocessing_context=start)

    client.open_job("bank", crops, batch_size=32, seed=4)
    whole = [stacked(batch.crops) for batch in client.batches("bank", 0, 26)]
    first = sampler()
    seen = []
    for delivered in loader(first):
        seen.append(delivered.numpy())
        if len(seen) == 5:
            break
    assert len(first) == 13 and first.version == 1
    second = sampler()
    second.load_state_dict(first.state_dict())
    seen += [delivered.numpy() for delivered in loader(second)]
    second.set_epoch(1)
    seen += [delivered.numpy() for delivered in loader(second)]
    assert len(seen) == 25 and all((ours == theirs).all() for ours, theirs in zip(seen, whole, strict=False))


def loss_of(crops: Sequence[Crop]) -> dict[str, np.ndarray]:
    """Features of a crop: larger the further to the right it is."""
    left = np.array([crop.left for crop in crops], float)
    return {"loss": left / 15, "entropy": np.full(len(crops), 1.0)}


def online(client: Client | Engine, **arguments: object) -> CropSampler:
    settings = {"batch_size": 24, "images": IMAGES, "image_size": SIZE, "features": loss_of, "seed": 3, **arguments}
    return CropSampler(client, "online", "d", **settings)  # type: ignore[arg-type]


def test_every_image_proposes_and_the_daemon_selects(client: Client, dataset: str) -> None:
    asked: list[Sequence[Crop]] = []

    def features(crops: Sequence[Crop]) -> dict[str, np.ndarray]:
        asked.append(crops)
        return loss_of(crops)

    batches = online(client, features=features)
    assert len(batches) == 5
    kept = [[Crop(*crop, flip=bool(flip)) for *crop, flip in delivered.tolist()] for delivered in DataLoader(Boxes(), batch_sampler=batches)]
    assert [len(crops) for crops in kept] == [24] * 5 and [len(crops) for crops in asked] == [48] * 5
    images = [crop.image for crops in asked for crop in crops]
    assert sorted(images) == sorted([*range(IMAGES), *range(IMAGES)]), "each image proposes two crops an epoch"
    for crops, proposed in zip(kept, asked, strict=True):
        assert len(set(crops)) == len(crops) and set(crops) <= set(proposed)
        for crop in crops:
            assert 0 <= crop.top and crop.top + crop.height <= SIZE[0] and 0 <= crop.left and crop.left + crop.width <= SIZE[1]
    # What is asked of the daemon directly.
    selected = client.select_crops(loss_of(asked[2]), 24, step=2, job="online")
    assert [asked[2][position] for position in selected.positions] == kept[2]
    assert (selected.version, selected.weights.tolist()) == (1, [1.0] * 24)
    assert online(client, indices="numpy", features=lambda crops: {"loss": crops[:, 2] / SIZE[1]}).__iter__().__next__().shape == (24, 6)


def test_a_swapped_sampler_selects_from_its_step_on(client: Client, dataset: str) -> None:
    version = client.put_sampler(dataset, EASY).version
    batches = online(client, fill=True)
    iteration = iter(batches)
    uniform = next(iteration)
    assert batches.version == 1
    client.activate(dataset, version)
    batches.set_epoch(2)
    later = [crop for crops in batches for crop in crops]
    assert batches.version == version
    mean = np.mean([crop.left for crop in later])
    assert mean < np.mean([crop.left for crop in uniform]) and mean < 8


def test_states_resume_and_ranks_share_the_images(client: Client, dataset: str) -> None:
    whole = list(online(client))
    sampler = online(client)
    iteration = iter(sampler)
    assert [next(iteration) for _ in range(2)] == whole[:2]
    state = sampler.state_dict()
    assert (state["next_step"], state["dataset_hash"]) == (2, client.dataset(dataset).hash)
    resumed = online(client)
    resumed.load_state_dict(state)
    assert list(resumed) == whole[2:]
    with pytest.raises(ValueError, match="the state's proposals is 2, this sampler's is 3"):
        online(client, proposals=3).load_state_dict(state)
    seen: list[int] = []
    for rank in range(3):
        proposed: list[Crop] = []
        rank_sampler = online(client, rank=rank, world_size=3, features=lambda crops: proposed.extend(crops) or loss_of(crops))
        assert all(len(crops) == 8 for crops in rank_sampler)
        seen += {crop.image for crop in proposed}
    assert sorted(seen) == list(range(IMAGES)), "each image belongs to one rank"


def test_an_engine_selects_what_a_daemon_does(client: Client, dataset: str, columns: dict[str, np.ndarray]) -> None:
    client.activate(dataset, client.put_sampler(dataset, SWIFT).version)
    engine = Engine(columns, SWIFT)
    assert list(online(engine)) == list(online(client))
    generator = np.random.default_rng(1)
    features = {"loss": torch.tensor(generator.exponential(size=90)), "entropy": generator.uniform(0, 2, 90).astype(np.float32)}
    ours = engine.select_crops(features, 30, step=7, seed=5, rank=2)
    theirs = client.select_crops(features, 30, step=7, dataset=dataset, seed=5, rank=2)
    assert (ours.positions == theirs.positions).all() and (ours.weights == theirs.weights).all()
    assert ours.positions.dtype == np.uint32 and ours.weights.dtype == np.float32


def test_what_cannot_be_selected_is_refused(client: Client, dataset: str, columns: dict[str, np.ndarray]) -> None:
    version = client.put_sampler(dataset, EASY).version
    few = {"loss": np.array([0.0, 1e9, 1e9])}
    for selecting in (
        lambda features, keep, **options: client.select_crops(features, keep, step=0, dataset=dataset, version=version, **options),
        lambda features, keep, **options: Engine(columns, EASY).select_crops(features, keep, step=0, **options),
    ):
        with pytest.raises(FailedPrecondition, match="1 of 3 proposals have a positive weight, and 2 are to be kept"):
            selecting(few, 2)
        assert selecting(few, 2, fill=True).positions[0] == 0
        with pytest.raises(InvalidArgument, match=r'feature "loss", row 1 \(counted from 0\) is NaN'):
            selecting({"loss": np.array([0.0, np.nan])}, 1)
        with pytest.raises(InvalidArgument, match='combines feature "loss", and the proposals have entropy'):
            selecting({"entropy": np.array([0.0, 1.0])}, 1)
        with pytest.raises(InvalidArgument, match="keep is 4: it must be from 1 to the 3 proposals"):
            selecting(few, 4)
    with pytest.raises(NotFound, match="nowhere"):
        client.select_crops(few, 1, step=0, dataset="nowhere")
    with pytest.raises(ValueError, match="give one of them"):
        client.select_crops(few, 1, step=0)


def test_after_features_that_failed_the_step_comes_again(client: Client, dataset: str) -> None:
    whole = list(online(client))
    failing = [True]

    def features(crops: Sequence[Crop]) -> dict[str, np.ndarray]:
        if sampler.next_step == 1 and failing:
            failing.clear()
            raise RuntimeError("out of memory")
        return loss_of(crops)

    sampler = online(client, features=features)
    iteration = iter(sampler)
    assert next(iteration) == whole[0]
    with pytest.raises(RuntimeError, match="out of memory"):
        next(iteration)
    assert list(iteration) == [], "the iteration has ended"
    assert list(sampler) == whole[1:]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"features": None}, "features: crops are selected by images, image_size and features"),
        ({"images": 0}, "images 0"),
        ({"image_size": (0, 5)}, "image_size"),
        ({"image_size": [(4, 5)] * 7}, "image_size of shape"),
        ({"proposals": 0}, "proposals 0"),
        ({"scale": (0.5, 0.1)}, "scale"),
        ({"ratio": (0.0, 1.0)}, "ratio"),
        ({"flip": 1.5}, "flip 1.5"),
    ],
)
def test_settings_that_cannot_be_are_refused_when_they_are_made(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        online(Client("127.0.0.1:1"), **arguments)


def test_proposed_boxes_have_the_areas_and_ratios_asked_for_and_lie_in_their_images() -> None:
    count = 20_000
    uniform = np.random.default_rng(0).random((count, 2 * ATTEMPTS + 2))
    sizes = np.tile(np.array([[300, 400]]), (count, 1))
    top, left, height, width = propose(uniform, sizes, (0.08, 1.0), (3 / 4, 4 / 3)).T
    assert (top >= 0).all() and (left >= 0).all() and (top + height <= 300).all() and (left + width <= 400).all()
    share, ratio = height * width / 120_000, width / height
    assert 0.079 < share.min() and share.max() <= 1 and 0.74 < ratio.min() and ratio.max() < 1.35
    # Areas up to 3/4 fit at every ratio, or nearly so: uniform there. Places are uniform within the room there is.
    inside = share[share < 0.6]
    assert abs(inside.mean() - 0.34) < 0.01
    room = left[width < 350] / (400 - width[width < 350] + 1)
    assert abs(room.mean() - 0.5) < 0.02
    # An image so long that nothing fits: its middle, of an allowed ratio.
    long = propose(uniform[:50], np.tile(np.array([[10, 1000]]), (50, 1)), (0.9, 1.0), (3 / 4, 4 / 3))
    assert (long == [0, (1000 - 13 + 1) // 2, 10, 13]).all()


def test_the_example_trains_on_selected_crops(client: Client, dataset: str, tmp_path: Path) -> None:
    version = client.put_sampler(dataset, SWIFT).version
    client.activate(dataset, version)
    generator = torch.Generator().manual_seed(0)
    data = {"images": torch.rand(96, 1, 24, 30, generator=generator), "labels": torch.randint(0, 10, (96,), generator=generator)}
    torch.save(data, tmp_path / "data.pt")
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 10))
    torch.jit.script(network).save(str(tmp_path / "data.pt.network"))
    command = [sys.executable, EXAMPLE, client.address, dataset, tmp_path / "data.pt"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PROGRAM_MAX_SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    assert f"crops that sampler version {version} selected" in done.stdout
    assert [(job.name, job.dataset) for job in client.jobs()] == [("crops", dataset)]


def test_a_batch_sampler_of_a_bank_hands_out_rows(client: Client, crops: str) -> None:
    assert all(isinstance(row, int) for row in next(iter(BatchSampler(client, "rows", crops, batch_size=8))))
