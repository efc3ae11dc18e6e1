"""One flat array behind all parameters."""

import numpy as np
import pytest

from textgru.core import GRU, Embedding, Linear, flatten


def test_flatten_keeps_values_and_shares_memory():
    gru, linear = GRU(3, 5, 2, seed=1), Linear(5, 7, seed=2)
    before = {f"gru.{k}": v.copy() for k, v in gru.parameters.items()}
    before |= {f"out.{k}": v.copy() for k, v in linear.parameters.items()}
    flat = flatten({"gru": gru, "out": linear})
    views = flat.views(flat.values)
    assert views.keys() == before.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(views[name], array)
    assert flat.count == sum(array.size for array in before.values())
    flat.values[...] = 0
    assert all((array == 0).all() for layer in (gru, linear) for array in layer.parameters.values())
    x = np.ones((2, 1, 3), np.float32)
    linear.backward(np.ones_like(linear.forward(gru.forward(x)[0])))
    np.testing.assert_array_equal(flat.views(flat.gradients)["out.bias"], [2] * 7)


def test_ties_share_one_array_counted_once():
    embedding, linear = Embedding(7, 5, seed=1), Linear(5, 7, seed=2)
    kept = embedding.parameters["weight"].copy()
    flat = flatten({"in": embedding, "out": linear}, ties={"out.weight": "in.weight"})
    np.testing.assert_array_equal(linear.parameters["weight"], kept)
    linear.parameters["weight"][0, 0] = 42
    assert embedding.parameters["weight"][0, 0] == 42
    assert flat.count == 7 * 5 + 7
    with pytest.raises(ValueError, match="cannot share"):
        flatten({"in": Embedding(7, 4), "out": Linear(5, 7)}, ties={"out.weight": "in.weight"})


def test_one_dtype_only():
    with pytest.raises(TypeError, match="expected one dtype"):
        flatten({"a": Linear(2, 2), "b": Linear(2, 2, dtype=np.float64)})


def test_load_refuses_before_it_changes_anything():
    linear = Linear(3, 2, seed=0)
    kept = {name: array.copy() for name, array in linear.parameters.items()}
    weight = np.ones((2, 3), np.float32)
    with pytest.raises(KeyError):
        linear.load({"weight": weight})
    with pytest.raises(ValueError, match="bias: "):
        linear.load({"weight": weight, "bias": np.ones(3, np.float32)})
    for name, array in kept.items():
        np.testing.assert_array_equal(linear.parameters[name], array)
