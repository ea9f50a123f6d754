"""Trains on crops that samplerd selects, two proposed by each image: `python train_crops.py DAEMON DATASET data.pt`.

`data.pt` holds `images` [n, 1, H, W] and `labels`; `data.pt.network`, a scripted network, tells crops' loss and entropy."""

import sys

import torch
from torch.nn.functional import cross_entropy, interpolate
from torch.utils.data import DataLoader, Dataset

from swift_sampler import features
from swift_sampler.torch import Crop, CropSampler

daemon, dataset, path = sys.argv[1:]
data, pretrained = torch.load(path, weights_only=True), torch.jit.load(path + ".network").eval()


class Crops(Dataset):
    def __getitem__(self, crop: Crop) -> tuple[torch.Tensor, torch.Tensor]:
        image = data["images"][crop.image, :, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
        pixels = interpolate(image[None], (16, 16), mode="bilinear")[0]
        return pixels.flip(-1) if crop.flip else pixels, data["labels"][crop.image]


@torch.no_grad()
def raw_features(proposed: list[Crop]) -> dict:
    pixels, labels = map(torch.stack, zip(*map(Crops().__getitem__, proposed), strict=True))
    logits = pretrained(pixels)
    return {"loss": features.loss(logits, labels), "entropy": features.renormed_entropy(logits, labels)}


images = {"images": len(data["images"]), "image_size": tuple(data["images"].shape[2:])}
crops = CropSampler(daemon, "crops", dataset, batch_size=32, features=raw_features, **images)
network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 10))
optimiser = torch.optim.SGD(network.parameters(), lr=0.05)
for pixels, labels in DataLoader(Crops(), batch_sampler=crops):
    optimiser.zero_grad()
    cross_entropy(network(pixels), labels).backward()
    optimiser.step()
print(f"trained on crops that sampler version {crops.version} selected")
