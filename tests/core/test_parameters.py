"""One flat array behind all parameters."""

import copy
import pickle

import numpy as np
import pytest

from textgru.core import GRU, AdamW, Embedding, Linear, WeightAverage, flatten, gradient_norm

COPIES = {"deep": copy.deepcopy, "pickle": lambda thing: pickle.loads(pickle.dumps(thing))}


def test_flatten_keeps_values_and_shares_memory():
    gru, linear = GRU(3, 5, 2, seed=1), Linear(5, 7, seed=2)
    before = {f"gru.{k}": v.copy() for k, v in gru.parameters.items()}
    before |= {f"out.{k}": v.copy() for k, v in linear.parameters.items()}
    flat = flatten({"gru": gru, "out": linear})
    views = flat.views(flat.values)
    assert views.keys() == before.keys()
    for name, array in before.items():
        np.testing.assert_array_equal(views[name], array)
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
    assert list(flat.slices) == ["in.weight", "out.bias"]
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


def test_a_layer_stands_once_in_one_flat_array():
    layer, other = Linear(3, 2, seed=0), Linear(3, 2, seed=1)
    with pytest.raises(ValueError, match="layers: 'a' and 'b' are the same layer"):
        flatten({"a": layer, "b": layer})
    first = flatten({"a": layer, "b": other})
    optimizer, average = AdamW(first), WeightAverage(first, 0.9)
    second = flatten({"a": layer})
    for stale in (optimizer.step, lambda: average.update(1), lambda: gradient_norm(first), lambda: AdamW(first)):
        with pytest.raises(RuntimeError, match="parameters: a layer of these was flattened again"):
            stale()
    AdamW(second).step()


@pytest.mark.parametrize(
    "ties", [{"a.weight": "a.nothing"}, {"nothing": "a.weight"}, {"a.weight": "a.weight"}], ids=str
)
def test_ties_that_do_not_fit(ties):
    with pytest.raises(ValueError, match="ties: "):
        flatten({"a": Linear(3, 3), "b": Linear(3, 3)}, ties=ties)


def train(gru, linear, parameters, optimizer, average):
    x = np.random.default_rng(0).standard_normal((4, 3, 3)).astype(np.float32)
    for step in (1, 2):
        linear_y = linear.forward(gru.forward(x)[0])
        gru.backward(linear.backward(linear_y))
        optimizer.step()
        average.update(step)
    return parameters.values.tobytes() + average.values.tobytes() + optimizer.exp_avg_sq.tobytes()


@pytest.mark.parametrize("how", COPIES)
def test_copies_stay_linked_with_one_another_and_only_so(how):
    gru, linear = GRU(3, 17, 2, dropout=0.3, precision="bf16", seed=1), Linear(17, 5, seed=2)
    parameters = flatten({"gru": gru, "out": linear})
    originals = [gru, linear, parameters, AdamW(parameters), WeightAverage(parameters, 0.9)]
    train(*originals)
    copies = COPIES[how](originals)
    kept = parameters.values.tobytes()
    trained = train(*copies)
    assert parameters.values.tobytes() == kept
    assert train(*originals) == trained
    assert np.shares_memory(copies[0].parameters["weight_hh_l1"], copies[2].values)
    assert copies[2].values.ctypes.data % 64 == copies[3].exp_avg.ctypes.data % 64 == 0


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_forgets_the_last_forward_pass(how):
    x = np.ones((2, 2, 3), np.float32)
    for layer in (GRU(3, 4), Linear(3, 4)):
        layer.forward(x)
        copied = COPIES[how](layer)
        with pytest.raises(RuntimeError, match="call forward"):
            copied.backward(np.ones((2, 2, 4), np.float32))
        np.testing.assert_array_equal(copied.forward(x)[0], layer.forward(x)[0])


def test_load_takes_parts_of_its_own_parameters():
    gru = GRU(4, 4, 2, seed=0)
    wanted = {name: array.copy() for name, array in gru.parameters.items()}
    swapped = dict(gru.parameters)
    for kind in ("weight", "bias"):
        one, two = f"{kind}_ih_l1", f"{kind}_hh_l1"
        swapped[one], swapped[two] = swapped[two], swapped[one]
    gru.load(swapped)
    np.testing.assert_array_equal(gru.parameters["weight_ih_l1"], wanted["weight_hh_l1"])
    np.testing.assert_array_equal(gru.parameters["weight_hh_l1"], wanted["weight_ih_l1"])
