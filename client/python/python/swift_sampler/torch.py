"""Batches for ``torch.utils.data.DataLoader``.

torch itself is imported only to ask ``torch.distributed`` for rank and world size, and only if the program has
imported it: without torch this module can be imported, type-checked and used with any loader.
"""

from swift_sampler.batch_sampler import BatchSampler, IndexKind
from swift_sampler.crop_sampler import Crop, CropSampler
from swift_sampler.weighted import Weighted, WeightedIndex, WeightedIndices

__all__ = ["BatchSampler", "Crop", "CropSampler", "IndexKind", "Weighted", "WeightedIndex", "WeightedIndices"]
