"""The cells, as the tests of what they have in common take them."""

import numpy as np
import pytest

from textgru.core import GRU, LSTM, RNN

CELLS = {"gru": GRU, "gru-reset-before": GRU, "lstm": LSTM, "rnn": RNN}

every_kind = pytest.mark.parametrize("kind", CELLS)
every_cell = pytest.mark.parametrize("kind", ["gru", "lstm", "rnn"])


def make(kind, *arguments, **keywords):
    """A recurrent layer of this kind."""
    if kind == "gru-reset-before":
        keywords["reset_after"] = False
    return CELLS[kind](*arguments, **keywords)


def numbers(shape, seed, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def state(layer, batch, seed):
    """A state of this layer, as its forward takes it."""
    shape = (layer.num_layers, batch, layer.hidden_size)
    arrays = tuple(numbers(shape, seed + 1000 * i, layer.dtype) for i in range(len(layer.cell.states)))
    return arrays if len(arrays) > 1 else arrays[0]


def arrays_of(state):
    """The arrays of a state."""
    return state if isinstance(state, tuple) else (state,)


def run(layer, x, h_0, dy, dh_n):
    """Everything that a forward and a backward pass give, by name."""
    y, h_n = layer.forward(x, h_0)
    dx, dh_0 = layer.backward(dy, dh_n)
    results = {"y": y, "dx": dx, **{name: array.copy() for name, array in layer.gradients.items()}}
    for name, last, first in zip(layer.cell.states, arrays_of(h_n), arrays_of(dh_0), strict=True):
        results |= {f"{name}_n": last, f"d{name}_0": first}
    return results


def run_numbers(layer, seq, batch):
    dtype = layer.dtype
    return run(
        layer,
        numbers((seq, batch, layer.input_size), 1, dtype),
        state(layer, batch, 2),
        numbers((seq, batch, layer.hidden_size), 3, dtype),
        state(layer, batch, 4),
    )
