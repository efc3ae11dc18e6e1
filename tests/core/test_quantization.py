"""Weights as 8-bit integers, and a token step on them."""

import numpy as np
import pytest

from tests.reference import sigmoid
from textgru.core import GRU, Linear, set_num_threads, simd
from textgru.core._products.packing import pack_int8
from textgru.core._stepping.token_step import TokenStep
from textgru.core.quantization import dequantize_rows, quantize_rows

every_set = pytest.mark.parametrize("name", simd.supported_instruction_sets())


def numbers(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@every_set
@pytest.mark.parametrize("n", [1, 3, 17, 65, 300])
def test_rows_keep_their_numbers_within_half_a_step(n, name):
    simd.set_instruction_set(name)
    matrix = numbers((40, n), 1) * np.logspace(-6, 6, 40, dtype=np.float32)[:, None]
    integers, scales = quantize_rows(matrix)
    assert integers.dtype == np.int8
    assert (np.abs(integers).max(axis=1) == 127).all()
    error = np.abs(dequantize_rows(integers, scales) - matrix)
    assert (error <= 0.5001 * np.abs(matrix).max(axis=1, keepdims=True) / 127).all()


def test_quantising_again_changes_nothing():
    first = quantize_rows(numbers((50, 70), 1))
    again = quantize_rows(dequantize_rows(*first))
    np.testing.assert_array_equal(again[0], first[0])
    np.testing.assert_allclose(again[1], first[1], rtol=1e-6)


def test_zeros_and_numbers_too_small_to_divide():
    matrix = np.array([[0, 0, 0], [1e-45, 0, -1e-44], [1, -2, 0]], np.float32)
    integers, scales = quantize_rows(matrix)
    assert np.isfinite(scales).all()
    np.testing.assert_allclose(dequantize_rows(integers, scales), matrix, atol=0.01)


@pytest.mark.parametrize("n", [1, 3, 17, 64])
def test_packing(n):
    matrix = np.random.default_rng(0).standard_normal((70, n)).astype(np.float32)
    integers, scales = quantize_rows(matrix)
    packed, packed_scales, offsets = pack_int8(matrix)
    quads = -(-n // 4)
    assert packed.shape == (2, quads, 64, 4)
    rows = packed.transpose(0, 2, 1, 3).reshape(128, quads * 4)
    np.testing.assert_array_equal(rows[:70, :n], integers)
    assert not rows[70:].any()
    assert not rows[:, n:].any()
    np.testing.assert_array_equal(packed_scales, np.append(scales, np.zeros(58, np.float32)))
    np.testing.assert_array_equal(offsets, -128 * rows.sum(axis=1, dtype=np.int32))


def quantised(vector):
    """A vector as the step multiplies it: 127 steps up and down, to nearest."""
    step = np.abs(vector).max() / 127 or 1.0
    return np.floor(vector / step + 0.5) * step


class Reference:
    """The step in float64, with the weights of products quantised, and their vectors."""

    def __init__(self, embedding, gru, output, table):
        self.embedding, self.table = embedding.astype(np.float64), table
        self.layers = [
            {
                which: (parameter(gru, f"weight_{which}_l{layer}"), gru.parameters[f"bias_{which}_l{layer}"])
                for which in ("ih", "hh")
            }
            for layer in range(gru.num_layers)
        ]
        self.exact_ih = gru.parameters["weight_ih_l0"].astype(np.float64)
        self.output, self.bias = parameter(output, "weight"), output.parameters["bias"]
        self.reset_after = gru.reset_after

    def step(self, token, state):
        below = self.embedding[token]
        for number, (layer, h) in enumerate(zip(self.layers, state, strict=True)):
            w_ih, b_ih = layer["ih"]
            w_hh, b_hh = layer["hh"]
            in_table = number == 0 and self.table
            x = (self.exact_ih @ below if in_table else w_ih @ quantised(below)) + b_ih
            g = w_hh @ quantised(h)
            below = cell(x, g, h, w_hh, b_hh, self.reset_after)
            state[number] = below
        return self.output @ quantised(below) + self.bias


def parameter(layer, name):
    return dequantize_rows(*quantize_rows(layer.parameters[name])).astype(np.float64)


def cell(x, g, h, w_hh, b_hh, reset_after):
    """h_t from the products x = W_ih x_t + b_ih and g = W_hh h_{t-1}."""
    (x_r, x_z, x_n), (g_r, g_z, g_n), (b_r, b_z, b_n) = (np.split(part, 3) for part in (x, g, b_hh))
    r, z = sigmoid(x_r + g_r + b_r), sigmoid(x_z + g_z + b_z)
    product = r * (g_n + b_n) if reset_after else np.split(w_hh, 3)[2] @ quantised(r * h) + b_n
    n = np.tanh(x_n + product)
    return (1 - z) * n + z * h


def network(vocab, inputs, hidden, layers, *, reset_after=True):
    gru = GRU(inputs, hidden, layers, reset_after=reset_after, seed=1)
    return numbers((vocab, inputs), 3), gru, Linear(hidden, vocab, seed=2)


def check(vocab, inputs, hidden, layers, *, reset_after=True):
    """One step from each of some states: rounding at a boundary may go either way, so most of the scores."""
    embedding, gru, output = network(vocab, inputs, hidden, layers, reset_after=reset_after)
    step = TokenStep(embedding, gru, output, precision="int8")
    reference = Reference(embedding, gru, output, table=vocab <= 1024)
    for number in range(3):
        h_0 = np.tanh(numbers((layers, hidden), number))
        step.state[...] = h_0
        step.step(number % vocab)
        state = h_0.astype(np.float64)
        wanted = reference.step(number % vocab, state)
        np.testing.assert_allclose(step.state, state, atol=0.02)
        np.testing.assert_allclose(step.logits, wanted, atol=0.05)
        assert np.median(np.abs(step.logits - wanted)) < 0.005


@pytest.mark.parametrize("reset_after", [True, False], ids=["reset-after", "reset-before"])
@every_set
@pytest.mark.parametrize("hidden", [1, 3, 17, 64, 65])
def test_a_step_equals_the_reference(hidden, name, reset_after):
    simd.set_instruction_set(name)
    for vocab, layers in ((3, 1), (65, 2)):
        check(vocab, 7, hidden, layers, reset_after=reset_after)


@every_set
def test_a_large_vocabulary(name):
    simd.set_instruction_set(name)
    check(1030, 17, 65, 2)


def test_instruction_sets_and_threads_give_the_same_integers():
    """Sums of integers are exact; what is left is the rounding of float32."""
    results = []
    for name in simd.supported_instruction_sets():
        for threads in (1, 2, 5):
            simd.set_instruction_set(name)
            set_num_threads(threads)
            step = TokenStep(*network(300, 9, 320, 2), precision="int8")
            step.state[...] = np.tanh(numbers((2, 320), 4))
            step.step(7)
            results.append((name, step.logits.copy()))
    for name, logits in results[1:]:
        np.testing.assert_allclose(logits, results[0][1], atol=0.03, err_msg=name)
        assert np.median(np.abs(logits - results[0][1])) < 0.003, name


def test_it_is_a_quarter_of_the_weights():
    parts = network(65, 64, 256, 1)
    assert TokenStep(*parts, precision="int8").nbytes * 4 == TokenStep(*parts).nbytes


def test_what_cannot_be_quantised_is_named():
    with pytest.raises(ValueError, match="precision: expected one of fp32, int8, got 'int4'"):
        TokenStep(*network(5, 3, 4, 1), precision="int4")
    gru, output = GRU(3, 4, dtype=np.float64, seed=1), Linear(4, 5, dtype=np.float64, seed=1)
    with pytest.raises(TypeError, match="precision: int8 needs float32 parameters, these are float64"):
        TokenStep(np.zeros((5, 3)), gru, output, precision="int8")
