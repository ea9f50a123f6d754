"""Crops for ``torch.utils.data.DataLoader``: drawn from a bank of crops, or selected among fresh ones (Sec. 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Union

import numpy as np
import numpy.typing as npt

from swift_sampler import _native
from swift_sampler.batch_sampler import BatchSampler, IndexKind
from swift_sampler.client import Client, Follow, Mode
from swift_sampler.engine import Engine
from swift_sampler.engine_client import EngineClient, EngineJob

__all__ = ["Crop", "CropSampler", "ImageSizes", "propose"]

ATTEMPTS = 10
"""How often a box is drawn until one lies in its image, before all of the image is taken."""

ImageSizes = Union["tuple[int, int]", npt.ArrayLike]
"""Height and width of every image, or an array of them with a row an image."""


class Crop(NamedTuple):
    """A part of an image: what ``torchvision.transforms.functional.crop`` takes, and whether it is mirrored."""

    image: int
    top: int
    left: int
    height: int
    width: int
    flip: bool


def propose(
    uniform: npt.NDArray[np.float64],
    sizes: npt.NDArray[np.int64],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> npt.NDArray[np.int64]:
    """Makes random boxes as ``torchvision.transforms.RandomResizedCrop`` does.

    Args:
        uniform: Random numbers in [0, 1), ``[crops, 2 * ATTEMPTS + 2]``.
        sizes: Height and width of each crop's image, ``[crops, 2]``.
        scale: Least and largest share of the image's area.
        ratio: Least and largest ratio of width to height, drawn on a logarithmic scale.

    Returns:
        Top, left, height and width of each box, inside its image: ``[crops, 4]``.
    """
    heights, widths = sizes[:, :1], sizes[:, 1:]
    area = heights * widths * (scale[0] + (scale[1] - scale[0]) * uniform[:, :ATTEMPTS])
    low, high = np.log(ratio[0]), np.log(ratio[1])
    aspect = np.exp(low + (high - low) * uniform[:, ATTEMPTS : 2 * ATTEMPTS])
    width, height = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (width >= 1) & (width <= widths) & (height >= 1) & (height <= heights)
    first = fits.argmax(axis=1)[:, None]
    found = fits.any(axis=1, keepdims=True)
    # Otherwise the largest box of an allowed ratio, in the middle.
    middle_width = np.minimum(widths, np.maximum(1, np.rint(heights * ratio[1])))
    middle_height = np.minimum(heights, np.maximum(1, np.rint(widths / ratio[0])))
    width = np.where(found, np.take_along_axis(width, first, 1), middle_width)
    height = np.where(found, np.take_along_axis(height, first, 1), middle_height)
    place = np.where(found, uniform[:, 2 * ATTEMPTS : 2 * ATTEMPTS + 2], 0.5)
    top = np.floor(place[:, :1] * (heights - height + 1))
    left = np.floor(place[:, 1:] * (widths - width + 1))
    return np.concatenate([top, left, height, width], axis=1).astype(np.int64)


class CropSampler(BatchSampler):
    """A ``BatchSampler`` whose batches are crops: the data set's ``__getitem__`` gets a ``Crop``.

    Without ``features``, crops are drawn from a bank: ``dataset`` has a row a crop, with its box, and the job's batches are
    rows of it.

    With ``features``, crops are selected while training: each epoch takes the images in a new random order; every image of a
    batch proposes some random resized crops; ``features`` computes their raw features, usually by a frozen pre-trained
    network; and of all proposals of the batch as many as it has images are kept, without replacement, with the weights that
    the sampler of ``dataset`` gives them by its stored tables. What that data set's rows are, crops or whole images, only
    matters in that their features' distribution is what quantiles are taken from. The sampler is that of the job at the
    step, the same for every rank. Images and proposals are a pure function of the job's seed and the step; each rank
    selects among its own, so with another world size other proposals are kept.

    Places, states and resuming are those of ``BatchSampler``.
    """

    def __init__(
        self,
        client: Client | Engine | str | None,
        job: str,
        dataset: str,
        *,
        batch_size: int,
        images: int | None = None,
        image_size: ImageSizes | None = None,
        features: Callable[[Any], Mapping[str, Any]] | None = None,
        proposals: int = 2,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
        fill: bool = False,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        epoch_draws: int | None = None,
        mode: Mode | None = None,
        follow: Follow = "step",
        indices: IndexKind = "list",
    ) -> None:
        """Takes the job's parameters; the job is opened when first used.

        Args:
            client: A client, the daemon's address, or an ``Engine`` of the dataset; see ``BatchSampler``.
            job: Name of the job, the same on every rank.
            dataset: A bank of crops; or, with ``features``, the dataset whose samplers weigh proposed crops.
            batch_size: Global batch size, over all ranks, in crops.
            images: How many images there are to propose crops of.
            image_size: Their heights and widths in pixels: one pair, or an array of a row an image.
            features: Takes proposed crops, of the kind that ``indices`` says, and returns features by name, arrays or tensors
                of a value a crop: all that the dataset's samplers combine.
            proposals: Crops proposed of each image.
            scale: Least and largest share of the image's area that a crop has.
            ratio: Least and largest ratio of a crop's width to its height.
            flip: Probability that a crop is mirrored.
            fill: Takes crops of weight 0 where too few have a positive one, instead of raising ``FailedPrecondition``.
            seed: Seed of every draw, the same on every rank.
            rank: This process's share; see ``BatchSampler``.
            world_size: Number of shares.
            epoch_draws: Draws of an epoch; default: as many as there are crops in the bank, or images.
            mode: How draws of one epoch relate to each other; default: independent from a bank, else stratified: each image
                once.
            follow: When a newly activated sampler is taken up.
            indices: What a batch is: ``"list"``, a list of ``Crop``, or ``"numpy"``, an int64 array with a row a crop and its
                six numbers in that order.
        """
        online = {"images": images, "image_size": image_size, "features": features}
        missing = [name for name, value in online.items() if value is None]
        if missing and len(missing) < len(online):
            raise ValueError(f"{', '.join(missing)}: crops are selected by images, image_size and features, or drawn from a bank")
        self.features = features
        self._selecting: Client | EngineClient | None = None
        source: Client | Engine | str | None = client
        if features is not None:
            if images is None or images < 1:
                raise ValueError(f"images {images}: at least one is needed")
            _check(proposals, scale, ratio, flip)
            self._sizes = _sizes(image_size, images)
            if isinstance(client, Engine):
                self._selecting = EngineClient(client)
            else:
                self._selecting = client if isinstance(client, Client) else Client(client)
            # The images' order needs no daemon: a column of anything has as many rows.
            source = Engine({"image": np.zeros(images)}, features=["image"])
        super().__init__(
            source,
            job,
            dataset,
            batch_size=batch_size,
            seed=seed,
            rank=rank,
            world_size=world_size,
            epoch_draws=epoch_draws,
            mode=mode or ("independent" if features is None else "stratified"),
            follow=follow if features is None else "step",
            indices=indices,
        )
        self.proposals = proposals
        self.scale = scale
        self.ratio = ratio
        self.flip = flip
        self.fill = fill
        self.version: int | None = None
        """The sampler version of the last batch given."""
        self._selecting_follow: Follow = follow
        self._selecting_hash = ""

    def __repr__(self) -> str:
        return f"CropSampler({self.job!r}, {self.dataset!r}, batch_size={self.batch_size})"

    def _wants_crops(self) -> bool:
        return self.features is None

    def _present(self, batch: _native.Batch) -> Any:
        if self.features is not None:
            return self._select(batch, self.features)
        if batch.crops is None:
            raise ValueError(
                f"dataset {self.dataset!r} is no crop bank: it needs columns image, top, left, height and width; "
                "or give features, to select crops while training"
            )
        self.version = batch.version
        crops = batch.crops
        fields = (crops.image, crops.top, crops.left, crops.height, crops.width, crops.flip)
        return self._of_kind(np.stack(fields, axis=1).astype(np.int64))

    def _select(self, batch: _native.Batch, features: Callable[[Any], Mapping[str, Any]]) -> Any:
        proposed = self._proposed(batch)
        rank, _ = self._shard()
        assert self._selecting is not None, "it is set with the features"
        selected = self._selecting.select_crops(
            features(self._of_kind(proposed)),
            len(batch),
            step=batch.step,
            job=self.job,
            rank=rank,
            fill=self.fill,
            seek=self._chosen,
        )
        self.version = selected.version
        return self._of_kind(proposed[selected.positions])

    def _proposed(self, batch: _native.Batch) -> npt.NDArray[np.int64]:
        """Returns the crops that the images of a rank's share propose, a row a crop: those of an image one after another."""
        rank, world_size = self._shard()
        first = self.batch_size * rank // world_size
        generator = np.random.Generator(np.random.Philox(key=np.array([self.seed, batch.step], np.uint64)))
        # Those of the global batch, so that a draw's proposals do not depend on who makes them.
        uniform = generator.random((self.batch_size, self.proposals, 2 * ATTEMPTS + 3))
        uniform = uniform[first : first + len(batch)].reshape(len(batch) * self.proposals, -1)
        images = np.repeat(batch.indices.astype(np.int64), self.proposals)
        boxes = propose(uniform, self._sizes[images if len(self._sizes) > 1 else np.zeros_like(images)], self.scale, self.ratio)
        flips = uniform[:, -1] < self.flip
        return np.concatenate([images[:, None], boxes, flips[:, None].astype(np.int64)], axis=1)

    def _of_kind(self, crops: npt.NDArray[np.int64]) -> Any:
        if self.indices == "numpy":
            return crops
        rows: list[list[int]] = crops.tolist()
        return [Crop(image, top, left, height, width, bool(flip)) for image, top, left, height, width, flip in rows]

    def _parameters(self) -> dict[str, Any]:
        parameters = super()._parameters()
        if self.features is not None:
            proposed = {"proposals": self.proposals, "scale": list(self.scale), "ratio": list(self.ratio), "flip": self.flip}
            parameters.update(proposed, images=parameters["dataset_hash"], dataset_hash=self._selecting_hash)
        return parameters

    def _opened(self) -> int:
        is_open = self._epoch_draws is not None
        epoch_draws = super()._opened()
        if self._selecting is not None and not is_open:
            opened: _native.Job | EngineJob = self._selecting.open_job(
                self.job,
                self.dataset,
                batch_size=self.batch_size,
                seed=self.seed,
                epoch_draws=epoch_draws,
                follow=self._selecting_follow,
            )
            self._selecting_hash = opened.dataset_hash
        return epoch_draws


def _check(proposals: int, scale: Sequence[float], ratio: Sequence[float], flip: float) -> None:
    if proposals < 1:
        raise ValueError(f"proposals {proposals}: each image proposes at least one crop")
    if not 0 < scale[0] <= scale[1] <= 1:
        raise ValueError(f"scale {scale}: shares of the area ascend within (0, 1]")
    if not 0 < ratio[0] <= ratio[1]:
        raise ValueError(f"ratio {ratio}: ratios of width to height ascend, from above 0")
    if not 0 <= flip <= 1:
        raise ValueError(f"flip {flip}: it is a probability")


def _sizes(image_size: ImageSizes | None, images: int) -> npt.NDArray[np.int64]:
    sizes = np.atleast_2d(np.asarray(image_size, np.int64))
    if sizes.shape not in ((1, 2), (images, 2)) or (sizes < 1).any():
        raise ValueError(f"image_size of shape {sizes.shape}: a height and a width of at least 1, or one row of them an image")
    return sizes
