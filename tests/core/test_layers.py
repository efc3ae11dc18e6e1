"""Embedding and Linear: results, gradients, checks."""

import numpy as np
import pytest

from tests.reference import numerical_gradient, relative_error
from textgru.core import GRU, Embedding, Linear, flatten, set_num_threads


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


def test_results_may_not_share_memory_with_what_is_read():
    linear = Linear(8, 8, seed=0)
    flat = flatten({"linear": linear})
    both = np.ones((9, 8), np.float32)
    x, out = both[:8], both[1:]
    weight, gradient = linear.parameters["weight"], linear.gradients["weight"]
    kept = flat.values.copy()
    for bad in (x, out, weight, gradient):
        with pytest.raises(ValueError, match="out: expected an array apart from"):
            linear.forward(x, out=bad)
    linear.forward(x.copy())
    dy = np.ones((8, 8), np.float32)
    for bad in (dy, weight, gradient):
        with pytest.raises(ValueError, match="out: expected an array apart from"):
            linear.backward(dy, out=bad)
    with pytest.raises(ValueError, match="gradients: expected an array apart from dy"):
        linear.backward(gradient)
    np.testing.assert_array_equal(flat.values, kept)
    embedding = Embedding(4, 4, seed=0)
    embedding.forward(np.arange(4))
    with pytest.raises(ValueError, match="dy: expected an array apart from gradients"):
        embedding.backward(embedding.gradients["weight"])
    gru = GRU(8, 8, seed=0)
    y, _ = gru.forward(np.ones((3, 2, 8), np.float32), copy=False)
    with pytest.raises(ValueError, match="x: expected an array apart from this layer's workspace"):
        gru.forward(y)


def test_a_pass_without_training_leaves_the_one_before():
    first, second = numbers((3, 5), 1), numbers((3, 5), 2)
    dy = numbers((3, 4), 3)
    once, between = (Linear(5, 4, dtype=np.float64, seed=1) for _ in range(2))
    once.forward(first)
    once.backward(dy)
    between.forward(first)
    between.forward(second, training=False)
    between.backward(dy)
    np.testing.assert_array_equal(between.gradients["weight"], once.gradients["weight"])
    only = Linear(5, 4, dtype=np.float64)
    only.forward(first, training=False)
    with pytest.raises(RuntimeError, match="call forward first"):
        only.backward(dy)


@pytest.mark.parametrize(
    "odd",
    [
        lambda x: np.ma.masked_array(x, x > 0),
        np.matrix,
        lambda x: x.tolist(),
        lambda x: x.astype(">f4"),
        lambda x: None,
    ],
    ids=["masked", "matrix", "list", "byte order", "nothing"],
)
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_only_plain_arrays(odd):
    linear, x = Linear(3, 2, seed=0), np.ones((4, 3), np.float32)
    with pytest.raises(TypeError, match="x: expected"):
        linear.forward(odd(x))
    linear.forward(x)
    with pytest.raises(TypeError, match="dy: expected"):
        linear.backward(odd(np.ones((4, 2), np.float32)))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: GRU(3, 10**200), ValueError, "hidden_size: expected at most"),
        (lambda: GRU(3, 5, 10**8), ValueError, "num_layers: expected at most"),
        (lambda: GRU(3, 2**31 - 1), MemoryError, "input_size, hidden_size, num_layers: this needs .* GB"),
        (lambda: Linear(2**30, 2**30), MemoryError, "in_features, out_features: this needs .* GB"),
        (lambda: Embedding(2**31 - 1, 2**20), MemoryError, "num_embeddings, embedding_dim: this needs .* GB"),
        (lambda: GRU(3, 5, dropout="0.1"), TypeError, "dropout: expected a number"),
        (lambda: GRU(3, 5, dropout=float("nan")), ValueError, "dropout: expected"),
        (lambda: GRU(3, 5, bias="no"), TypeError, "bias: expected True or False"),
        (lambda: GRU(3, 5, seed="one"), TypeError, "seed: expected"),
        (lambda: Linear(3, 5, seed=-1), ValueError, "seed: expected"),
        (lambda: Embedding(3, 5, dtype=None), TypeError, "dtype: expected float32 or float64"),
        (lambda: Linear(3.0, 5), TypeError, "in_features: expected an integer"),
    ],
)
def test_what_can_not_be_made_is_named_before_memory_is_taken(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_an_index_need_not_be_contiguous():
    embedding, whole = Embedding(7, 3, seed=0), np.random.default_rng(0).integers(0, 7, (5, 8))
    for index in (whole[:, ::2], whole.T):
        np.testing.assert_array_equal(embedding.forward(index), embedding.parameters["weight"][index])
