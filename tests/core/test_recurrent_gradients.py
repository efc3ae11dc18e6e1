"""Every gradient of every cell against central differences in float64."""

import numpy as np
import pytest

from tests.core.cells import arrays_of, every_cell, every_kind, make, numbers, state
from tests.reference import numerical_gradient, relative_error

TOLERANCE = 1e-6

# seq, batch, input, hidden, layers
SIZES = [
    (1, 1, 1, 1, 1), (3, 1, 2, 3, 2), (1, 3, 3, 1, 3), (5, 3, 4, 7, 1), (4, 5, 3, 5, 2), (3, 2, 5, 4, 3),
    (3, 33, 2, 3, 2),  # a batch that is kept in two halves
]  # fmt: skip


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@every_kind
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_all_gradients(sizes, kind, bias):
    seq, batch, inputs, hidden, layers = sizes
    layer = make(kind, inputs, hidden, layers, bias=bias, dtype=np.float64, seed=1)
    for i, array in enumerate(layer.parameters.values()):
        array[...] = 0.7 * numbers(array.shape, i)
    x, first = numbers((seq, batch, inputs), 100), state(layer, batch, 101)
    dy, d_last = numbers((seq, batch, hidden), 102), state(layer, batch, 103)

    def loss():
        y, last = layer.forward(x, first)
        return (y * dy).sum() + sum((a * d).sum() for a, d in zip(arrays_of(last), arrays_of(d_last), strict=True))

    loss()
    dx, d_first = layer.backward(dy, d_last)
    gradients = {name: array.copy() for name, array in layer.gradients.items()}
    assert relative_error(dx, numerical_gradient(loss, x)) < TOLERANCE
    for got, array in zip(arrays_of(d_first), arrays_of(first), strict=True):
        assert relative_error(got, numerical_gradient(loss, array)) < TOLERANCE
    for name, array in layer.parameters.items():
        assert relative_error(gradients[name], numerical_gradient(loss, array)) < TOLERANCE, name


@every_kind
@pytest.mark.parametrize("stack", [{}, {"bidirectional": True}, {"batch_first": True}], ids=str)
def test_of_the_last_state_alone(stack, kind):
    """No dy is one of zeros."""
    layer = make(kind, 3, 5, 2, dtype=np.float64, seed=1, **stack)
    x, results = numbers((4, 3, 3), 1), []
    for given in (True, False):
        y, last = layer.forward(x)
        d_last = tuple(numbers(a.shape, i) for i, a in enumerate(arrays_of(last)))
        dx, d_first = layer.backward(np.zeros_like(y) if given else None, d_last if len(d_last) > 1 else d_last[0])
        results.append([dx, *arrays_of(d_first), *(array.copy() for array in layer.gradients.values())])
    for wanted, got in zip(*results, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert results[0][0].any()


@every_kind
@pytest.mark.parametrize(
    ("rows", "batch"), [(2, 4), (3, 4), (40, 4), (5, 33), (60, 33)],
    ids=["projected", "projected-2", "gathered", "projected-halves", "gathered-halves"],
)  # fmt: skip
def test_lookup_gradients(rows, batch, kind):
    """Both ways of a lookup (projecting the table, gathering its rows) against differences."""
    seq, inputs, hidden, layers = 3, 3, 5, 2
    layer = make(kind, inputs, hidden, layers, dtype=np.float64, seed=1)
    table, index = numbers((rows, inputs), 1), np.random.default_rng(2).integers(0, rows, (seq, batch))
    dy = numbers((seq, batch, hidden), 3)

    def loss():
        return (layer.forward_lookup(table, index)[0] * dy).sum()

    loss()
    dtable, _ = layer.backward(dy)
    gradients = {name: array.copy() for name, array in layer.gradients.items()}
    assert dtable.shape == table.shape
    assert relative_error(dtable, numerical_gradient(loss, table)) < TOLERANCE
    for name, array in layer.parameters.items():
        assert relative_error(gradients[name], numerical_gradient(loss, array)) < TOLERANCE, name


@pytest.mark.parametrize("drops", [{"dropout": 0.4}, {"weight_dropout": 0.4}, {"dropout": 0.2, "weight_dropout": 0.3}])
@every_cell
def test_dropout_gradients(kind, drops):
    """The masks of the backward pass are those of the forward pass."""
    layer = make(kind, 3, 6, 3, **drops, dtype=np.float64, seed=5)
    x, dy = numbers((4, 3, 3), 1), numbers((4, 3, 6), 2)
    state = layer.dropout_rng.bit_generator.state

    def loss():
        layer.dropout_rng.bit_generator.state = state  # the same masks each time
        return (layer.forward(x)[0] * dy).sum()

    loss()
    dx, _ = layer.backward(dy)
    gradients = {name: array.copy() for name, array in layer.gradients.items()}
    assert relative_error(dx, numerical_gradient(loss, x)) < TOLERANCE
    for name, array in layer.parameters.items():
        assert relative_error(gradients[name], numerical_gradient(loss, array)) < TOLERANCE, name
