"""Weights as 8-bit integers, and sessions on them and on bfloat16."""

import numpy as np
import pytest

from tests.core.cells import every_cell
from tests.core.networks import network, random_state
from tests.reference import CELLS, bf16
from textgru.core import PackedNetwork, Session, set_num_threads, simd
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


def quantised(vector):
    """A vector as the step multiplies it: 127 steps up and down, to nearest."""
    step = np.abs(vector).max() / 127 or 1.0
    return np.floor(vector / step + 0.5) * step


def rows_quantised(x):
    return np.stack([quantised(row) for row in x])


def dequantized(matrix):
    return dequantize_rows(*quantize_rows(matrix)).astype(np.float64)


def reference_step(kind, parts, token, state, *, table, weights, vectors):
    """The scores and the state after a token, in float64, with the weights of products rounded by `weights`, and their
    vectors by `vectors`; the first layer's input products are exact where there is a table."""
    embedding, recurrent, output = parts
    p = {name: array.astype(np.float64) for name, array in recurrent.parameters.items()}
    below, after = embedding[token][None].astype(np.float64), []
    for layer in range(recurrent.num_layers):
        w_ih, w_hh = p[f"weight_ih_l{layer}"], weights(recurrent.parameters[f"weight_hh_l{layer}"])
        exact = layer == 0 and table
        projected = below @ w_ih.T if exact else vectors(below) @ weights(recurrent.parameters[f"weight_ih_l{layer}"]).T
        before = tuple(array[layer].astype(np.float64) for array in state)
        now = CELLS[kind](  # the input products are made already: times one
            projected, before, np.eye(len(w_ih)), w_hh, p[f"bias_ih_l{layer}"], p[f"bias_hh_l{layer}"],
            rounded=lambda x, h=before[0]: vectors(x) if x is h else x,
        )  # fmt: skip
        below = now[0]
        after.append(now)
    scores = vectors(below) @ weights(output.parameters["weight"]).T + output.parameters["bias"]
    return scores, tuple(np.stack(arrays) for arrays in zip(*after, strict=True))


ROUNDED = {
    "int8": {"weights": dequantized, "vectors": rows_quantised},
    "bf16": {"weights": bf16, "vectors": bf16},
}


def check(kind, precision, vocab, inputs, hidden, layers):
    """One step from each of some states: rounding at a boundary may go either way, so most of the scores."""
    parts = network(kind, vocab, inputs, hidden, layers)
    packed = PackedNetwork(*parts, precision=precision)
    for number in range(3):
        for rows in (1, 8):
            session, h_0 = Session(packed, rows), random_state(packed, rows, seed=number)
            session.state = h_0
            tokens = (number + np.arange(rows)) % vocab
            session.step(tokens)
            for row in (0, rows - 1):
                scores, state = reference_step(
                    kind, parts, tokens[row], [array[:, row : row + 1] for array in h_0], table=vocab <= 1024,
                    **ROUNDED[precision],
                )  # fmt: skip
                for got, wanted in zip(session.state, state, strict=True):
                    np.testing.assert_allclose(got[:, row], wanted[:, 0], atol=0.02)
                np.testing.assert_allclose(session.logits[row], scores[0], atol=0.05)
                assert np.median(np.abs(session.logits[row] - scores[0])) < 0.005


@pytest.mark.parametrize("precision", ROUNDED)
@every_cell
@every_set
@pytest.mark.parametrize("hidden", [1, 3, 17, 64, 65])
def test_a_step_equals_the_reference(hidden, name, kind, precision):
    simd.set_instruction_set(name)
    for vocab, layers in ((3, 1), (65, 2)):
        check(kind, precision, vocab, 7, hidden, layers)


@pytest.mark.parametrize("precision", ROUNDED)
@every_set
def test_a_large_vocabulary(name, precision):
    simd.set_instruction_set(name)
    check("gru", precision, 1030, 17, 65, 2)


def test_instruction_sets_and_threads_give_the_same_integers():
    """Sums of integers are exact; what is left is the rounding of float32."""
    results = []
    for name in simd.supported_instruction_sets():
        for threads in (1, 2, 5):
            simd.set_instruction_set(name)
            set_num_threads(threads)
            packed = PackedNetwork(*network("gru", 300, 9, 320, 2), precision="int8")
            session = Session(packed, 3)
            session.state = random_state(packed, 3)
            session.step(np.array([7, 8, 9]))
            results.append((name, session.logits.copy()))
    for name, logits in results[1:]:
        np.testing.assert_allclose(logits, results[0][1], atol=0.03, err_msg=name)
        assert np.median(np.abs(logits - results[0][1])) < 0.003, name
