"""The GRU on each kind of product: bfloat16, our own float32 ones, the BLAS's; shared by rows and by units."""

import numpy as np
import pytest

from tests.reference import bf16, relative_error, sigmoid
from textgru.core import GRU, set_num_threads, simd
from textgru.core.products import set_product_kernels

both_conventions = pytest.mark.parametrize("reset_after", [True, False], ids=["reset-after", "reset-before"])
every_set = pytest.mark.parametrize("name", simd.supported_instruction_sets())


def numbers(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run(gru, steps, batch):
    """Everything that a forward and a backward pass give, by name."""
    hidden, layers = gru.hidden_size, gru.num_layers
    y, h_n = gru.forward(numbers((steps, batch, gru.input_size), 1), numbers((layers, batch, hidden), 2))
    dx, dh_0 = gru.backward(numbers((steps, batch, hidden), 3), numbers((layers, batch, hidden), 4))
    return {"y": y, "h_n": h_n, "dx": dx, "dh_0": dh_0, **{k: v.copy() for k, v in gru.gradients.items()}}


def reference(x, h, parameters, reset_after):
    """One layer in float64, the inputs of every product rounded to bfloat16."""
    w_ih, w_hh = bf16(parameters["weight_ih_l0"]), bf16(parameters["weight_hh_l0"])
    b_ih, b_hh = (parameters[f"bias_{which}_l0"].astype(np.float64) for which in ("ih", "hh"))
    w_hr, w_hz, w_hn = np.split(w_hh, 3)
    b_hr, b_hz, b_hn = np.split(b_hh, 3)
    h, outputs = h.astype(np.float64), []
    for x_t in x:
        x_r, x_z, x_n = np.split(bf16(x_t) @ w_ih.T + b_ih, 3, axis=1)
        r, z = sigmoid(x_r + bf16(h) @ w_hr.T + b_hr), sigmoid(x_z + bf16(h) @ w_hz.T + b_hz)
        product = r * (bf16(h) @ w_hn.T + b_hn) if reset_after else bf16(r * h) @ w_hn.T + b_hn
        n = np.tanh(x_n + product)
        h = (1 - z) * n + z * h
        outputs.append(h)
    return np.stack(outputs)


@both_conventions
@every_set
@pytest.mark.parametrize("hidden", [1, 3, 17, 64, 65])
def test_bf16_forward_equals_the_reference(hidden, name, reset_after):
    """Short sequences: a state that is just on the other side of a rounding makes larger differences later."""
    simd.set_instruction_set(name)
    for batch, threads in ((1, 1), (3, 2), (17, 3)):
        set_num_threads(threads)
        gru = GRU(5, hidden, reset_after=reset_after, precision="bf16", seed=0)
        x, h_0 = numbers((3, batch, 5), 1), numbers((1, batch, hidden), 2)
        y, _ = gru.forward(x, h_0)
        assert relative_error(y, reference(x, h_0[0], gru.parameters, reset_after)) < 1e-3
        assert relative_error(y[0], reference(x[:1], h_0[0], gru.parameters, reset_after)[0]) < 1e-5


@both_conventions
@every_set
@pytest.mark.parametrize("hidden", [3, 65, 128])
@pytest.mark.parametrize("batch", [1, 7, 33])
def test_bf16_gradients_are_near_those_of_fp32(batch, hidden, name, reset_after):
    simd.set_instruction_set(name)
    set_num_threads(2)
    wanted = run(GRU(17, hidden, 2, reset_after=reset_after, seed=0), 9, batch)
    got = run(GRU(17, hidden, 2, reset_after=reset_after, precision="bf16", seed=0), 9, batch)
    for key in wanted:
        assert 0 < relative_error(got[key], wanted[key]) < 0.02, key


@both_conventions
def test_bf16_lookups_are_those_of_the_rows(reset_after):
    gru = GRU(6, 20, 2, reset_after=reset_after, precision="bf16", seed=1)
    table, index = numbers((9, 6), 1), np.random.default_rng(2).integers(0, 9, (8, 7))
    dy = numbers((8, 7, 20), 3)
    y, _ = gru.forward(table[index])
    dx, _ = gru.backward(dy)
    looked_up, _ = gru.forward_lookup(table, index)
    dtable, _ = gru.backward(dy)
    wanted = np.zeros((9, 6))
    np.add.at(wanted, index, dx)
    assert relative_error(looked_up, y) < 1e-3
    assert relative_error(dtable, wanted) < 0.02


def test_inference_is_in_float32():
    x = numbers((12, 5, 4), 1)
    exact, quick = GRU(4, 33, 2, seed=1), GRU(4, 33, 2, precision="bf16", seed=1)
    assert (exact.precision, quick.precision) == ("fp32", "bf16")
    np.testing.assert_array_equal(quick.forward(x, training=False)[0], exact.forward(x, training=False)[0])
    assert not np.array_equal(quick.forward(x)[0], exact.forward(x)[0])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("hidden", "batch"), [(256, 1), (256, 3), (320, 8), (256, 40), (100, 3), (65, 17)], ids=str)
def test_threads_make_no_difference_to_a_bit(hidden, batch, precision):
    """Few rows are shared by units, many by rows: with our own products the sums are the same."""
    set_product_kernels("packed")
    results = []
    for threads in (1, 2, 3, 4):
        set_num_threads(threads)
        results.append(run(GRU(20, hidden, 2, precision=precision, seed=0), 9, batch))
    for other in results[1:]:
        for name, wanted in results[0].items():
            assert other[name].tobytes() == wanted.tobytes(), name


@both_conventions
@pytest.mark.parametrize("hidden", [17, 64, 100])
def test_the_blas_and_our_own_products_agree(hidden, reset_after):
    results = []
    for kernels in ("packed", "blas"):
        set_product_kernels(kernels)
        results.append(run(GRU(5, hidden, 2, reset_after=reset_after, seed=0), 9, 13))
    for name, wanted in results[0].items():
        assert relative_error(results[1][name], wanted) < 1e-5, name
