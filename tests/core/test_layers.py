"""Embedding and Linear: results, gradients, checks."""

import numpy as np
import pytest

from tests.reference import numerical_gradient, relative_error
from textgru.core import Embedding, Linear, set_num_threads


def numbers(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (3,), (17, 3), (2, 65, 1)], ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_linear(threads, shape, bias):
    set_num_threads(threads)
    linear = Linear(5, 17, bias=bias, dtype=np.float64, seed=1)
    x, dy = numbers((*shape, 5), 1), numbers((*shape, 17), 2)
    weight = linear.parameters["weight"]
    wanted = x @ weight.T + (linear.parameters["bias"] if bias else 0)
    np.testing.assert_allclose(linear.forward(x), wanted, rtol=1e-10)

    def loss():
        return (linear.forward(x) * dy).sum()

    dx = linear.backward(dy)
    gradients = {name: array.copy() for name, array in linear.gradients.items()}
    assert relative_error(dx, numerical_gradient(loss, x)) < 1e-6
    for name, array in linear.parameters.items():
        assert relative_error(gradients[name], numerical_gradient(loss, array)) < 1e-6, name
    linear.forward(x)
    linear.backward(dy)
    linear.backward(dy, accumulate=True)
    for name, once in gradients.items():
        np.testing.assert_allclose(linear.gradients[name], 2 * once, rtol=1e-10)


@pytest.mark.parametrize("threads", [1, 3])
def test_embedding(threads):
    set_num_threads(threads)
    embedding = Embedding(7, 300, dtype=np.float64, seed=1)
    index = np.random.default_rng(2).integers(0, 7, (40, 50))
    dy = numbers((40, 50, 300), 3)
    np.testing.assert_array_equal(embedding.forward(index), embedding.parameters["weight"][index])
    embedding.backward(dy)
    wanted = np.zeros((7, 300))
    np.add.at(wanted, index, dy)
    np.testing.assert_allclose(embedding.gradients["weight"], wanted, atol=1e-10)
    embedding.backward(dy, accumulate=True)
    np.testing.assert_allclose(embedding.gradients["weight"], 2 * wanted, atol=1e-10)


def test_bad_input_is_named():
    linear, embedding = Linear(3, 2, seed=0), Embedding(4, 2, seed=0)
    with pytest.raises(TypeError, match="x: expected a float32 array"):
        linear.forward(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="out: "):
        linear.forward(np.zeros((2, 3), np.float32), out=np.zeros((3, 2), np.float32))
    with pytest.raises(RuntimeError, match="call forward first"):
        Linear(3, 2).backward(np.zeros((2, 2), np.float32))
    with pytest.raises(IndexError, match="index: expected indices from 0 to 3, got 4"):
        embedding.forward(np.array([4]))
    with pytest.raises(RuntimeError, match="call forward first"):
        embedding.backward(np.zeros((1, 2), np.float32))
