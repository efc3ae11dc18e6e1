"""Every gradient of the GRU against central differences in float64."""

import numpy as np
import pytest

from tests.reference import numerical_gradient, relative_error
from textgru.core import GRU

TOLERANCE = 1e-6

# seq, batch, input, hidden, layers
SIZES = [
    (1, 1, 1, 1, 1), (3, 1, 2, 3, 2), (1, 3, 3, 1, 3), (5, 3, 4, 7, 1), (4, 5, 3, 5, 2), (3, 2, 5, 4, 3),
    (3, 33, 2, 3, 2),  # a batch that is kept in two halves
]  # fmt: skip


def numbers(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("reset_after", [True, False], ids=["reset-after", "reset-before"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_all_gradients(sizes, reset_after, bias):
    seq, batch, inputs, hidden, layers = sizes
    gru = GRU(inputs, hidden, layers, bias=bias, reset_after=reset_after, dtype=np.float64, seed=1)
    for i, array in enumerate(gru.parameters.values()):
        array[...] = 0.7 * numbers(array.shape, i)
    x, h_0 = numbers((seq, batch, inputs), 100), numbers((layers, batch, hidden), 101)
    dy, dh_n = numbers((seq, batch, hidden), 102), numbers((layers, batch, hidden), 103)

    def loss():
        y, h_n = gru.forward(x, h_0)
        return (y * dy).sum() + (h_n * dh_n).sum()

    loss()
    dx, dh_0 = gru.backward(dy, dh_n)
    gradients = {name: array.copy() for name, array in gru.gradients.items()}
    assert relative_error(dx, numerical_gradient(loss, x)) < TOLERANCE
    assert relative_error(dh_0, numerical_gradient(loss, h_0)) < TOLERANCE
    for name, array in gru.parameters.items():
        assert relative_error(gradients[name], numerical_gradient(loss, array)) < TOLERANCE, name


@pytest.mark.parametrize("reset_after", [True, False], ids=["reset-after", "reset-before"])
@pytest.mark.parametrize(
    ("rows", "batch"), [(2, 4), (3, 4), (40, 4), (5, 33), (60, 33)],
    ids=["projected", "projected-2", "gathered", "projected-halves", "gathered-halves"],
)  # fmt: skip
def test_lookup_gradients(rows, batch, reset_after):
    """Both ways of a lookup (projecting the table, gathering its rows) against differences."""
    seq, inputs, hidden, layers = 3, 3, 5, 2
    gru = GRU(inputs, hidden, layers, reset_after=reset_after, dtype=np.float64, seed=1)
    table, index = numbers((rows, inputs), 1), np.random.default_rng(2).integers(0, rows, (seq, batch))
    dy = numbers((seq, batch, hidden), 3)

    def loss():
        return (gru.forward_lookup(table, index)[0] * dy).sum()

    loss()
    dtable, _ = gru.backward(dy)
    gradients = {name: array.copy() for name, array in gru.gradients.items()}
    assert dtable.shape == table.shape
    assert relative_error(dtable, numerical_gradient(loss, table)) < TOLERANCE
    for name, array in gru.parameters.items():
        assert relative_error(gradients[name], numerical_gradient(loss, array)) < TOLERANCE, name


def test_dropout_gradients():
    """The mask of the backward pass is the one of the forward pass."""
    gru = GRU(3, 6, 3, dropout=0.4, dtype=np.float64, seed=5)
    x, dy = numbers((4, 3, 3), 1), numbers((4, 3, 6), 2)
    state = gru._rng.bit_generator.state

    def loss():
        gru._rng.bit_generator.state = state  # the same masks each time
        return (gru.forward(x)[0] * dy).sum()

    loss()
    dx, _ = gru.backward(dy)
    gradients = {name: array.copy() for name, array in gru.gradients.items()}
    assert relative_error(dx, numerical_gradient(loss, x)) < TOLERANCE
    for name, array in gru.parameters.items():
        assert relative_error(gradients[name], numerical_gradient(loss, array)) < TOLERANCE, name
