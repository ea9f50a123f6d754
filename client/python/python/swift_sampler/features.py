"""Features of examples, from the logits of a pre-trained network.

Equation numbers refer to *Swift Sampler: Efficient Learning of Sampler by 10 Parameters* (NeurIPS 2024,
arXiv 2410.05578). NumPy arrays and torch tensors are taken, float64 arrays are returned, one value an example. Examples
are rows: logits are ``[examples, classes]``, labels ``[examples]`` of class numbers, hidden ``[examples, units]``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from swift_sampler._native import InvalidArgument

__all__ = ["columns", "last_layer_gradient_norm", "loss", "renormed_entropy"]

Column = npt.NDArray[np.float64]


def loss(logits: Any, labels: Any) -> Column:
    """The cross-entropy -ln p_y, with p the softmax of the logits."""
    logits, labels = _checked(logits, labels)
    shifted = logits - logits.max(axis=1, keepdims=True)
    values: Column = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(labels)), labels]
    return values


def renormed_entropy(logits: Any, labels: Any) -> Column:
    """The renormed entropy, eq. (11): E = -sum_{j != y} q_j ln q_j with q_j = p_j / (1 - p_y), natural logarithm.

    q is computed as the softmax of the logits other than the label's, which stays exact where p_y is 1. Without a third
    class E is 0 for every example: that is refused.
    """
    logits, labels = _checked(logits, labels)
    if logits.shape[1] < 3:
        raise InvalidArgument(
            f"the renormed entropy of {logits.shape[1]} classes is 0 for every example: it needs at least 3; "
            "use the loss alone as the feature"
        )
    others = logits.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    shifted = others - others.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    total = exponentials.sum(axis=1)
    # ln q_j = shifted_j - ln total; the label's term is 0, not 0 times infinity.
    mean = np.multiply(exponentials, shifted, where=exponentials > 0, out=np.zeros_like(shifted)).sum(axis=1) / total
    # Rounding may leave -0.0 or a last bit below zero.
    values: Column = np.maximum(np.log(total) - mean, 0.0)
    return values


def last_layer_gradient_norm(logits: Any, labels: Any, hidden: Any) -> Column:
    """The norm of the loss's gradient by the last linear layer and its bias, g in eq. (10).

    g = ||softmax - onehot(y)|| * sqrt(||h||^2 + 1), exactly, with h the layer's input.
    """
    logits, labels = _checked(logits, labels)
    hidden = _array(hidden, "hidden", np.float64)
    if hidden.ndim != 2 or len(hidden) != len(labels):
        raise InvalidArgument(f"hidden has shape {hidden.shape}: ({len(labels)}, units) is needed")
    _check_finite(hidden, "hidden")
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax = exponentials / exponentials.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    softmax[rows, labels] = 0.0
    # p_y - 1 as minus the sum of the others: nothing cancels where p_y is near 1.
    squares = (softmax**2).sum(axis=1) + softmax.sum(axis=1) ** 2
    values: Column = np.sqrt(squares * ((hidden**2).sum(axis=1) + 1.0))
    return values


def columns(logits: Any, labels: Any, hidden: Any) -> dict[str, Column]:
    """The columns that ``dataset import`` takes by default: loss, entropy and grad_norm."""
    return {
        "loss": loss(logits, labels),
        "entropy": renormed_entropy(logits, labels),
        "grad_norm": last_layer_gradient_norm(logits, labels, hidden),
    }


def _array(values: Any, name: str, dtype: Any) -> npt.NDArray[Any]:
    """Returns an array, also of a torch tensor on any device and of any precision, without importing torch."""
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        values = (tensor.double() if tensor.is_floating_point() else tensor).numpy()
    array = np.asarray(values)
    if array.dtype.kind not in ("iu" if dtype == np.int64 else "fiu"):
        kind = "class numbers" if dtype == np.int64 else "numbers"
        raise InvalidArgument(f"{name} holds {array.dtype}: {kind} are needed")
    return array.astype(dtype, copy=False)


def _checked(logits: Any, labels: Any) -> tuple[Column, npt.NDArray[np.int64]]:
    logits = _array(logits, "logits", np.float64)
    labels = _array(labels, "labels", np.int64)
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise InvalidArgument(f"logits have shape {logits.shape}: (examples, classes) with 2 classes or more is needed")
    if labels.shape != (len(logits),):
        raise InvalidArgument(f"labels have shape {labels.shape}: ({len(logits)},) is needed, one class an example")
    outside = np.flatnonzero((labels < 0) | (labels >= logits.shape[1]))
    if outside.size:
        row = int(outside[0])
        raise InvalidArgument(f"the label of row {row} is {labels[row]}: 0 to {logits.shape[1] - 1} are classes")
    _check_finite(logits, "logits")
    return logits, labels


def _check_finite(array: Column, name: str) -> None:
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        row, column = (int(place) for place in bad[0])
        raise InvalidArgument(f"{name} row {row} column {column} is {array[row, column]}: a finite number is needed")
