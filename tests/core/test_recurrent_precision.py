"""Every cell on each kind of product: bfloat16, our own float32 ones, the BLAS's; shared by rows and by units."""

import numpy as np
import pytest

from tests.core.cells import arrays_of, every_cell, every_kind, make, run_numbers, state
from tests.core.cells import numbers as numbers64
from tests.reference import bf16, recurrent, relative_error
from textgru.core import set_num_threads, simd
from textgru.core.products import set_product_kernels

every_set = pytest.mark.parametrize("name", simd.supported_instruction_sets())


def numbers(shape, seed):
    return numbers64(shape, seed, np.float32)


def reference(kind, x, first, parameters):
    """One layer in float64, the inputs of every product rounded to bfloat16; with the reset before the product, those
    of the recurrent ones are not."""
    rounded = {name: bf16(array) if "weight_ih" in name else array for name, array in parameters.items()}
    if kind != "gru-reset-before":
        rounded["weight_hh_l0"] = bf16(parameters["weight_hh_l0"])
        return recurrent(kind, x, arrays_of(first), rounded, rounded=bf16)[0]
    return recurrent(kind, bf16(x), arrays_of(first), rounded)[0]


@every_kind
@every_set
@pytest.mark.parametrize("hidden", [1, 3, 17, 64, 65])
def test_bf16_forward_equals_the_reference(hidden, name, kind):
    """Short sequences: a state that is just on the other side of a rounding makes larger differences later."""
    simd.set_instruction_set(name)
    for batch, threads in ((1, 1), (3, 2), (17, 3)):
        set_num_threads(threads)
        layer = make(kind, 5, hidden, precision="bf16", seed=0)
        x, h_0 = numbers((3, batch, 5), 1), state(layer, batch, 2)
        y, _ = layer.forward(x, h_0)
        assert relative_error(y, reference(kind, x, h_0, layer.parameters)) < 1e-3
        assert relative_error(y[0], reference(kind, x[:1], h_0, layer.parameters)[0]) < 1e-5


@every_kind
@every_set
@pytest.mark.parametrize("hidden", [3, 65, 128])
@pytest.mark.parametrize("batch", [1, 7, 33])
def test_bf16_gradients_are_near_those_of_fp32(batch, hidden, name, kind):
    simd.set_instruction_set(name)
    set_num_threads(2)
    wanted = run_numbers(make(kind, 17, hidden, 2, seed=0), 9, batch)
    got = run_numbers(make(kind, 17, hidden, 2, precision="bf16", seed=0), 9, batch)
    for key in wanted:
        assert 0 < relative_error(got[key], wanted[key]) < 0.02, key


@every_kind
def test_bf16_lookups_are_those_of_the_rows(kind):
    layer = make(kind, 6, 20, 2, precision="bf16", seed=1)
    table, index = numbers((9, 6), 1), np.random.default_rng(2).integers(0, 9, (8, 7))
    dy = numbers((8, 7, 20), 3)
    y, _ = layer.forward(table[index])
    dx, _ = layer.backward(dy)
    looked_up, _ = layer.forward_lookup(table, index)
    dtable, _ = layer.backward(dy)
    wanted = np.zeros((9, 6))
    np.add.at(wanted, index, dx)
    assert relative_error(looked_up, y) < 1e-3
    assert relative_error(dtable, wanted) < 0.02


@every_cell
def test_inference_is_in_float32(kind):
    x = numbers((12, 5, 4), 1)
    exact, quick = make(kind, 4, 33, 2, seed=1), make(kind, 4, 33, 2, precision="bf16", seed=1)
    assert (exact.precision, quick.precision) == ("fp32", "bf16")
    np.testing.assert_array_equal(quick.forward(x, training=False)[0], exact.forward(x, training=False)[0])
    assert not np.array_equal(quick.forward(x)[0], exact.forward(x)[0])


@every_cell
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("hidden", "batch"), [(256, 1), (256, 3), (320, 8), (256, 40), (100, 3), (65, 17)], ids=str)
def test_threads_make_no_difference_to_a_bit(hidden, batch, precision, kind):
    """Few rows are shared by units, many by rows: with our own products the sums are the same."""
    set_product_kernels("packed")
    results = []
    for threads in (1, 2, 3, 4):
        set_num_threads(threads)
        results.append(run_numbers(make(kind, 20, hidden, 2, precision=precision, seed=0), 3, batch))
    for other in results[1:]:
        for name, wanted in results[0].items():
            assert other[name].tobytes() == wanted.tobytes(), name


@every_kind
@pytest.mark.parametrize("hidden", [17, 64, 100])
def test_the_blas_and_our_own_products_agree(hidden, kind):
    results = []
    for kernels in ("packed", "blas"):
        set_product_kernels(kernels)
        results.append(run_numbers(make(kind, 5, hidden, 2, seed=0), 9, 13))
    for name, wanted in results[0].items():
        assert relative_error(results[1][name], wanted) < 1e-5, name
