"""Hugging Face Trainer: a training job that is stopped in the middle of an epoch and goes on with the next batch.

    python trainer_resume.py --daemon 127.0.0.1:7431 --dataset d --job train --folder checkpoints --steps 50

Start it again with the same folder and it goes on behind its last checkpoint.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

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

    def __getitem__(self, row: int) -> dict[str, Any]:
        x = torch.tensor([row / self.rows, 1.0])
        return {"x": x, "labels": 2 * x[:1] - 1, "rows": row}


class Network(torch.nn.Module):
    """One layer, and the rows it was trained on: saved with the weights, they show that none was lost or repeated."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.register_buffer("trained_rows", torch.full((steps, BATCH_SIZE), -1))
        self.register_buffer("trained_steps", torch.tensor(0))

    def forward(self, x: torch.Tensor, labels: torch.Tensor, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        self.trained_rows[self.trained_steps] = rows
        self.trained_steps += 1
        return {"loss": torch.nn.functional.mse_loss(self.layer(x), labels)}


class SwiftTrainer(Trainer):
    """A Trainer whose batches come from samplerd."""

    def __init__(self, *arguments: Any, batches: BatchSampler, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.batches = batches
        self.add_callback(FromTrainedSteps(batches))

    def get_train_dataloader(self) -> DataLoader:
        # Not Trainer's own way: that shuffles by itself, and has accelerate prepare the loader, which then gives each rank
        # other batches than the job's and reads a batch ahead. Trainer moves batches to the device anyway.
        return DataLoader(
            self.train_dataset, batch_sampler=self.batches, collate_fn=self.data_collator, num_workers=2
        )


class FromTrainedSteps(TrainerCallback):
    """Starts behind the step that was trained last, by Trainer's own count, which it saves with every checkpoint."""

    def __init__(self, batches: BatchSampler) -> None:
        self.batches = batches

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.batches.seek(state.global_step * args.gradient_accumulation_steps)


class DieAfter(TrainerCallback):
    """Shows that the program resumes."""

    def __init__(self, step: int | None) -> None:
        self.step = step

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if state.global_step == self.step:
            os._exit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--daemon", help="address of samplerd")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--folder", required=True, type=Path, help="where checkpoints go")
    parser.add_argument("--steps", required=True, type=int, help="steps in all")
    parser.add_argument("--die-after", type=int, help="step after which the program dies, to show that it resumes")
    arguments = parser.parse_args()

    # The batch size is that of all ranks together: per_device_train_batch_size is not used. Rank and world size come from
    # torch.distributed.
    batches = BatchSampler(arguments.daemon, arguments.job, arguments.dataset, batch_size=BATCH_SIZE)
    options = TrainingArguments(
        str(arguments.folder),
        max_steps=arguments.steps,
        save_steps=CHECKPOINT_EVERY_STEPS,
        # The sampler starts where training was: there is nothing to skip.
        ignore_data_skip=True,
        # Trainer would drop the columns that forward does not name.
        remove_unused_columns=False,
        report_to=[],
        disable_tqdm=True,
    )
    trainer = SwiftTrainer(
        Network(arguments.steps),
        options,
        train_dataset=Numbers(Client(arguments.daemon).dataset(arguments.dataset).rows),
        batches=batches,
        callbacks=[DieAfter(arguments.die_after)],
    )
    folder = arguments.folder
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.exists() else None)
    print(f"trained {trainer.state.global_step} steps")


if __name__ == "__main__":
    main()
