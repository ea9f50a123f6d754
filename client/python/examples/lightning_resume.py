"""Lightning: a training job that is stopped in the middle of an epoch and goes on with the next batch.

    python lightning_resume.py --daemon 127.0.0.1:7431 --dataset d --job train --folder checkpoints --steps 50

Start it again with the same folder and it goes on behind its last checkpoint.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, Dataset

from swift_sampler import Client
from swift_sampler.torch import BatchSampler

BATCH_SIZE = 48
CHECKPOINT_EVERY_STEPS = 4


class Numbers(Dataset):
    """A regression on the row's number, which stands for images and labels."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        x = torch.tensor([row / self.rows, 1.0])
        return x, 2 * x[:1] - 1, row


class Data(lightning.LightningDataModule):
    """Lightning saves a data module's state in every checkpoint, and loads it before it asks for the loader.

    The sampler's place is the step after the last batch that was given to ``training_step``: with a loader that has a
    length, as this one, Lightning reads nothing ahead. The loader needs no state of its own, so Lightning's warning that
    it "is not resumable" does not apply. Epochs follow each other by themselves.
    """

    def __init__(self, daemon: str | None, job: str, dataset: str) -> None:
        super().__init__()
        # The batch size is that of all ranks together. Rank and world size come from torch.distributed.
        self.batches = BatchSampler(daemon, job, dataset, batch_size=BATCH_SIZE)
        self.data = Numbers(Client(daemon).dataset(dataset).rows)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.data, batch_sampler=self.batches, num_workers=2)

    def state_dict(self) -> dict[str, Any]:
        return self.batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.batches.load_state_dict(state)


class Network(lightning.LightningModule):
    """One layer, and the rows it was trained on: saved with the weights, they show that none was lost or repeated."""

    def __init__(self, steps: int, die_after: int | None) -> None:
        super().__init__()
        self.die_after = die_after
        self.layer = torch.nn.Linear(2, 1)
        self.register_buffer("trained_rows", torch.full((steps, BATCH_SIZE), -1))

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        x, y, rows = batch
        self.trained_rows[self.global_step] = rows
        return torch.nn.functional.mse_loss(self.layer(x), y)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if self.global_step == self.die_after:
            os._exit(1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--daemon", help="address of samplerd")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--folder", required=True, type=Path, help="where checkpoints go")
    parser.add_argument("--steps", required=True, type=int, help="steps in all")
    parser.add_argument("--die-after", type=int, help="step after which the program dies, to show that it resumes")
    arguments = parser.parse_args()

    trainer = lightning.Trainer(
        max_steps=arguments.steps,
        # Lightning would put a DistributedSampler in the place of a sampler it does not know.
        use_distributed_sampler=False,
        callbacks=[
            ModelCheckpoint(
                arguments.folder,
                filename="last",
                every_n_train_steps=CHECKPOINT_EVERY_STEPS,
                enable_version_counter=False,
            )
        ],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    checkpoint = arguments.folder / "last.ckpt"
    trainer.fit(
        Network(arguments.steps, arguments.die_after),
        datamodule=Data(arguments.daemon, arguments.job, arguments.dataset),
        ckpt_path=checkpoint if checkpoint.exists() else None,
    )
    trainer.save_checkpoint(checkpoint)
    print(f"trained {trainer.global_step} steps")


if __name__ == "__main__":
    main()
