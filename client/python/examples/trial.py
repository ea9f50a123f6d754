"""A training script as a trial: run by `searcher --trial-command 'python trial.py data.pt'`, or whatever starts workers.

`data.pt` holds the tensors `images`, `labels`, `validation_images` and `validation_labels`; example i of the dataset at the
daemon is image i.
"""

import sys

import torch

from swift_sampler import trial

with trial.current() as t:
    torch.manual_seed(t.seed)
    images, labels, test_images, test_labels = torch.load(sys.argv[1], weights_only=True).values()
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.LazyLinear(64), torch.nn.ReLU(), torch.nn.Linear(64, 10))
    network(images[:1])
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    batches = t.batch_sampler(indices="numpy")
    for epoch in range(1, t.epochs + 1):
        for indices in batches:
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(network(images[indices]), labels[indices]).backward()
            optimiser.step()
        accuracy = (network(test_images).argmax(1) == test_labels).float().mean().item()
        if not t.report(epoch, accuracy):
            break
