"""Hugging Face accelerate: a training job that is stopped in the middle of an epoch and goes on with the next batch.

    python accelerate_resume.py --daemon 127.0.0.1:7431 --dataset d --job train --folder checkpoints --steps 50
    torchrun --nproc-per-node 2 accelerate_resume.py …      # each rank trains on its share of the same batches

Start it again with the same folder, and any number of ranks, and it goes on behind its last checkpoint.
"""

import argparse
import os
from pathlib import Path

import torch
from accelerate import Accelerator
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


class Network(torch.nn.Module):
    """One layer, and the rows it was trained on: saved with the weights, they show that none was lost or repeated."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.register_buffer("trained_rows", torch.full((steps, BATCH_SIZE), -1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--daemon", help="address of samplerd")
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--job", required=True)
    parser.add_argument("--folder", required=True, type=Path, help="where checkpoints go")
    parser.add_argument("--steps", required=True, type=int, help="steps in all")
    parser.add_argument("--die-after", type=int, help="step after which the program dies, to show that it resumes")
    arguments = parser.parse_args()

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    # The batch size is that of all ranks together. Rank and world size come from torch.distributed, which is there now.
    batches = BatchSampler(arguments.daemon, arguments.job, arguments.dataset, batch_size=BATCH_SIZE)
    data = Numbers(Client(arguments.daemon).dataset(arguments.dataset).rows)
    loader = DataLoader(data, batch_sampler=batches, num_workers=2)
    network = Network(arguments.steps)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)

    # The loader is not prepared. Prepared, it would give each rank other batches than the job's (split_batches,
    # even_batches, dispatch_batches all cut batches anew), go back to its own epoch 0, and read a batch ahead of the loop,
    # which the sampler could not see. All that is left to do by hand is to move batches to the device.
    model, optimizer = accelerator.prepare(network, optimizer)
    # The sampler's place is saved and loaded with everything else: the step after the last batch that the loop was given.
    accelerator.register_for_checkpointing(batches)
    checkpoint = arguments.folder / "checkpoint"
    if checkpoint.exists():
        accelerator.load_state(str(checkpoint))

    step = batches.next_step
    while step < arguments.steps:
        for x, y, rows in loader:  # an epoch, or what is left of it
            loss = torch.nn.functional.mse_loss(model(x.to(accelerator.device)), y.to(accelerator.device))
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            # All ranks' shares, one after another, are the global batch.
            network.trained_rows[step] = accelerator.gather(rows.to(accelerator.device))
            step += 1
            if step % CHECKPOINT_EVERY_STEPS == 0 or step == arguments.steps:
                accelerator.save_state(str(checkpoint))
            if step == arguments.die_after:
                os._exit(1)
            if step == arguments.steps:
                break
    accelerator.print(f"trained {step} steps, loss {loss.item():.4f}")
    accelerator.end_training()


if __name__ == "__main__":
    main()
