"""Features against PyTorch's own losses and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from swift_sampler import Engine, InvalidArgument, features

EXAMPLES, CLASSES, UNITS = 50, 7, 12


@pytest.fixture
def network() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(EXAMPLES, CLASSES, generator=generator, dtype=torch.float64)
    labels = torch.randint(CLASSES, (EXAMPLES,), generator=generator)
    hidden = torch.randn(EXAMPLES, UNITS, generator=generator, dtype=torch.float64)
    return logits, labels, hidden


def test_the_loss_is_the_cross_entropy(network: tuple[torch.Tensor, ...]) -> None:
    logits, labels, _ = network
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none").numpy()
    np.testing.assert_allclose(features.loss(logits, labels), expected, rtol=1e-12)
    np.testing.assert_allclose(features.loss(logits.numpy(), labels.numpy()), expected, rtol=1e-12)
    np.testing.assert_allclose(features.loss(logits.bfloat16(), labels.int()), expected, rtol=0.05, atol=0.05)


def test_the_entropy_is_that_of_the_other_classes(network: tuple[torch.Tensor, ...]) -> None:
    logits, labels, _ = network
    entropies = features.renormed_entropy(logits, labels)
    for row, entropy in enumerate(entropies):
        p = torch.softmax(logits[row], 0).numpy()
        q = np.delete(p, int(labels[row])) / (1 - p[int(labels[row])])
        assert entropy == pytest.approx(-(q * np.log(q)).sum(), rel=1e-9)
    uniform = features.renormed_entropy(np.zeros((1, CLASSES)), [0])
    assert uniform[0] == pytest.approx(np.log(CLASSES - 1))


def test_the_gradient_norm_is_that_of_the_last_layer(network: tuple[torch.Tensor, ...]) -> None:
    _, labels, hidden = network
    layer = torch.nn.Linear(UNITS, CLASSES, dtype=torch.float64)
    norms = features.last_layer_gradient_norm(layer(hidden), labels, hidden)
    for row, norm in enumerate(norms):
        layer.zero_grad()
        torch.nn.functional.cross_entropy(layer(hidden[row : row + 1]), labels[row : row + 1]).backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in layer.parameters()])
        assert norm == pytest.approx(float(gradient.norm()), rel=1e-9)


def test_certain_predictions_stay_finite_and_exact() -> None:
    logits = np.array([[1000.0, 0.0, -1000.0], [40.0, 0.0, 0.0], [-1000.0, 1000.0, 0.0]])
    labels = np.array([0, 0, 0])
    assert features.loss(logits, labels).tolist() == pytest.approx([0, 2 * np.exp(-40.0), 2000], abs=1e-15)
    assert features.renormed_entropy(logits, labels).tolist() == pytest.approx([0, np.log(2), 0])
    norms = features.last_layer_gradient_norm(logits, labels, np.zeros((3, 1)))
    assert norms[1] == pytest.approx(np.sqrt(6) * np.exp(-40.0), rel=1e-9)
    assert norms[2] == pytest.approx(np.sqrt(2))


def test_two_classes_have_no_renormed_entropy() -> None:
    logits, labels = np.zeros((3, 2)), np.zeros(3, int)
    with pytest.raises(InvalidArgument, match="2 classes"):
        features.renormed_entropy(logits, labels)
    assert features.loss(logits, labels) == pytest.approx(np.log(2))


def test_bad_input_is_named() -> None:
    logits, labels = np.zeros((3, 4)), np.array([0, 4, 1])
    with pytest.raises(InvalidArgument, match="row 1 is 4"):
        features.loss(logits, labels)
    with pytest.raises(InvalidArgument, match=r"labels have shape \(2,\)"):
        features.loss(logits, labels[:2])
    with pytest.raises(InvalidArgument, match="class numbers"):
        features.loss(logits, np.zeros(3))
    logits[2, 1] = np.nan
    with pytest.raises(InvalidArgument, match="logits row 2 column 1 is nan"):
        features.loss(logits, [0, 0, 0])


def test_the_columns_are_those_samplers_expect(network: tuple[torch.Tensor, ...]) -> None:
    logits, labels, hidden = network
    columns = features.columns(logits, labels, hidden)
    spec = {
        "kind": "swift",
        "features": ["loss", "entropy"],
        "coefficients": [1, 0.5],
        "knots": [0.5],
        "values": [0, 1, 0.5],
    }
    assert Engine(columns, spec).rows == EXAMPLES
