"""forward(..., return_gates=True): the gates are those of the equations."""

import numpy as np
import pytest

from tests.core.cells import arrays_of, every_kind, make, numbers, state
from tests.reference import relative_error, sigmoid


def gates_by_hand(kind, x, before, parameters, layer):
    """Name -> (T, B, H): the equations, given the states before every step, a tuple of (T, B, H)."""
    h = before[0]
    w_ih, w_hh, b_ih, b_hh = (
        parameters[f"{name}_l{layer}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    inputs, products = x @ w_ih.T + b_ih, h @ w_hh.T + b_hh
    if kind == "rnn":
        return {"h": np.tanh(inputs + products)}
    if kind == "lstm":
        i, f, g, o = np.split(inputs + products, 4, axis=2)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * before[1] + i * g
        return {"i": i, "f": f, "g": g, "o": o, "h": o * np.tanh(c), "c": c}
    (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(inputs, 3, axis=2), np.split(products, 3, axis=2)
    r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
    hidden = h.shape[2]
    product = (r * h) @ w_hh[2 * hidden :].T + b_hh[2 * hidden :] if kind == "gru-reset-before" else r * h_n
    n = np.tanh(x_n + product)
    return {"r": r, "z": z, "n": n, "h": (1 - z) * n + z * h}


@every_kind
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize(("batch", "hidden"), [(1, 5), (3, 256), (40, 64)])
def test_gates_are_those_of_the_equations(batch, hidden, dtype, tolerance, training, kind):
    layer = make(kind, 6, hidden, 2, dtype=dtype, seed=0)
    x, first = numbers((9, batch, 6), 1, dtype), state(layer, batch, 2)
    y, last, gates = layer.forward(x, first, training=training, return_gates=True)
    assert len(gates) == 2
    for number, found in enumerate(gates):
        names = [name for name in layer.cell.states if name != "h"]
        assert list(found) == [*(gate for gate in layer.cell.gates if gate != "h"), "h", *names]
        before = tuple(
            np.concatenate([start[number][None], found[name][:-1]])
            for name, start in zip(layer.cell.states, arrays_of(first), strict=True)
        )
        for name, wanted in gates_by_hand(kind, x, before, layer.parameters, number).items():
            assert relative_error(found[name], wanted) < tolerance, name
        for name, end in zip(layer.cell.states, arrays_of(last), strict=True):
            np.testing.assert_array_equal(found[name][-1], end[number])
        x = found["h"]
    np.testing.assert_array_equal(gates[-1]["h"], y)


@every_kind
def test_results_are_the_same_with_and_without(kind):
    layer = make(kind, 3, 17, 2, seed=0)
    x, dy = numbers((7, 4, 3), 1, np.float32), numbers((7, 4, 17), 2, np.float32)
    y, _ = layer.forward(x)
    layer.backward(dy)
    gradients = {name: array.copy() for name, array in layer.gradients.items()}
    with_gates, _, gates = layer.forward(x, return_gates=True)
    np.testing.assert_array_equal(with_gates, y)
    before = [{name: array.copy() for name, array in found.items()} for found in gates]
    layer.backward(dy)  # writes gradients over what it kept
    for name, array in layer.gradients.items():
        np.testing.assert_array_equal(array, gradients[name])
    for found, copies in zip(gates, before, strict=True):
        for name, array in found.items():
            np.testing.assert_array_equal(array, copies[name])


def test_it_is_true_or_false():
    with pytest.raises(TypeError, match="return_gates"):
        make("gru", 3, 4).forward(np.zeros((1, 1, 3), np.float32), return_gates="z")
