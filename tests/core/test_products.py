"""Our own matrix products and the BLAS's, at both precisions, against float64."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from tests.reference import bf16
from textgru.core import GRU, Linear, set_num_threads, simd
from textgru.core.products import (
    PRODUCT_KERNELS,
    Products,
    choose_precision,
    product_kernels,
    set_product_kernels,
)

SIZES = [0, 1, 3, 17, 65]
every_set = pytest.mark.parametrize("name", simd.supported_instruction_sets())
both_precisions = pytest.mark.parametrize("precision", ["fp32", "bf16"])


def numbers(shape, seed, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def rounded(array, precision):
    return bf16(array) if precision == "bf16" else array.astype(np.float64)


def check(m, n, k, precision, transposes=(False, False)):
    """Without anything, with a bias, added to, and both."""
    a = numbers((k, m), 1).T if transposes[0] else numbers((m, k), 1)
    b = numbers((n, k), 2).T if transposes[1] else numbers((k, n), 2)
    bias = numbers(n, 3)
    wanted = rounded(a, precision) @ rounded(b, precision)
    products = Products(precision)
    for options, added in (
        ({}, 0), ({"bias": bias}, bias), ({"accumulate": True}, 2), ({"bias": bias, "accumulate": True}, bias + 2.0),
    ):  # fmt: skip
        c = np.full((m, n), 2 if "accumulate" in options else np.nan, np.float32)
        products.multiply(a, b, c, **options)
        np.testing.assert_allclose(c, wanted + added, rtol=1e-4, atol=1e-4, err_msg=f"{m} {n} {k} {options.keys()}")


@both_precisions
@every_set
@pytest.mark.parametrize("transposes", list(itertools.product([False, True], repeat=2)), ids=str)
def test_odd_sizes(transposes, name, precision):
    simd.set_instruction_set(name)
    set_product_kernels("packed")
    for m, n, k in itertools.product(SIZES, repeat=3):
        check(m, n, k, precision, transposes)


@both_precisions
@every_set
@pytest.mark.parametrize(("m", "n", "k"), [(97, 129, 513), (200, 70, 1031), (700, 64, 40), (40, 600, 700)], ids=str)
def test_more_than_a_block_of_each(m, n, k, name, precision):
    """96 rows, 64 columns and 256 units make a block; the last one's right side stays in no near cache."""
    simd.set_instruction_set(name)
    set_product_kernels("packed")
    for transposes, threads in itertools.product([(False, False), (True, False), (False, True)], [1, 3]):
        set_num_threads(threads)
        check(m, n, k, precision, transposes)


@pytest.mark.parametrize("kernels", PRODUCT_KERNELS)
def test_parts_of_larger_arrays(kernels):
    set_product_kernels(kernels)
    a, b, c = numbers((30, 40), 1), numbers((50, 20), 2), np.full((15, 25), 7, np.float32)
    Products().multiply(a[:, 5:17].T[:9], b[10:40, 3:20], c[2:11, 4:21])
    wanted = np.full((15, 25), 7, np.float32)
    wanted[2:11, 4:21] = a[:, 5:14].T @ b[10:40, 3:20]
    np.testing.assert_allclose(c, wanted, rtol=1e-4, atol=1e-4)


@both_precisions
def test_threads_make_no_difference_to_a_bit(precision):
    set_product_kernels("packed")
    for m, n, k in [(300, 200, 700), (20, 700, 900), (65, 129, 5000)]:
        results = []
        for threads in (1, 2, 3, 7):
            set_num_threads(threads)
            c = np.empty((m, n), np.float32)
            Products(precision).multiply(numbers((k, m), 1).T, numbers((k, n), 2), c)
            results.append(c.tobytes())
        assert len(set(results)) == 1


@both_precisions
@pytest.mark.parametrize("kernels", PRODUCT_KERNELS)
def test_a_sum_of_two_products(kernels, precision):
    set_product_kernels(kernels)
    for m, n, first, second in [(1, 1, 1, 1), (65, 17, 3, 40), (130, 200, 300, 299)]:
        arrays = [numbers((k, width), seed) for seed, k in ((1, first), (2, second)) for width in (m, n)]
        pairs = [(arrays[0].T, arrays[1]), (arrays[2].T, arrays[3])]
        wanted = sum(rounded(a, precision) @ rounded(b, precision) for a, b in pairs)
        for threads in (1, 2, 3):
            set_num_threads(threads)
            c = np.full((m, n), np.nan, np.float32)
            Products(precision).multiply_sum(pairs, c)
            np.testing.assert_allclose(c, wanted, rtol=1e-4, atol=1e-4)
            Products(precision).multiply_sum(pairs[:1], c)
            np.testing.assert_allclose(c, rounded(pairs[0][0], precision) @ rounded(pairs[0][1], precision), atol=1e-4)
    with pytest.raises(ValueError, match="shapes don't fit"):
        Products(precision).multiply_sum([pairs[0], (pairs[1][0][:, :5], pairs[1][1])], c)


@every_set
def test_bfloat16_is_rounded_to_nearest_even(name):
    """Multiplied by one: the rounding alone. Ties, the largest number, infinities and NaN among them."""
    simd.set_instruction_set(name)
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 1 + 2**-8 + 2**-20, 3.3895e38, -3.3895e38], np.float32)
    patterns = np.random.default_rng(0).integers(0, 2**32, 5000, dtype=np.uint64).astype(np.uint32).view(np.float32)
    x = np.concatenate([ties, patterns[np.isfinite(patterns) & (np.abs(patterns) > 1e-30)]])[:, None]
    got = np.empty_like(x)
    Products("bf16").multiply(x, np.ones((1, 1), np.float32), got)
    np.testing.assert_array_equal(got, bf16(x))
    special = np.array([[np.inf], [-np.inf], [np.nan]], np.float32)
    result = np.empty((3, 1), np.float32)
    Products("bf16").multiply(special, np.ones((1, 1), np.float32), result)
    np.testing.assert_array_equal(result, special)
    np.testing.assert_array_equal(bf16(np.array([1 + 2**-8, 1 + 3 * 2**-8])), [1, 1 + 2**-6])


def test_float64_takes_the_blas():
    a, b, c = numbers((5, 7), 1, np.float64), numbers((7, 6), 2, np.float64), np.empty((5, 6))
    for kernels in PRODUCT_KERNELS:
        set_product_kernels(kernels)
        Products().multiply(a, b, c, bias=np.arange(6.0))
        np.testing.assert_allclose(c, a @ b + np.arange(6), rtol=1e-13)
    with pytest.raises(TypeError, match="bf16 products are of float32 arrays, got float64"):
        Products("bf16").multiply(a, b, c)
    for layer in (GRU, Linear):
        with pytest.raises(TypeError, match="precision: bf16 needs float32 parameters, these are float64"):
            layer(3, 4, dtype=np.float64, precision="bf16")


@both_precisions
def test_what_does_not_fit_is_named(precision):
    products, zeros = Products(precision), np.zeros
    for a, b, c in [((20, 3), (4, 5), (20, 5)), ((20, 3), (3, 5), (20, 4)), ((20, 3), (3, 5), (19, 5))]:
        with pytest.raises(ValueError, match="shapes don't fit"):
            products.multiply(*(zeros(shape, np.float32) for shape in (a, b, c)))
    with pytest.raises(ValueError, match="bias: expected 5 elements, got 4"):
        products.multiply(
            zeros((20, 3), np.float32), zeros((3, 5), np.float32), zeros((20, 5), np.float32),
            bias=zeros(4, np.float32),
        )  # fmt: skip
    with pytest.raises(ValueError, match="rows or columns are contiguous"):
        products.multiply(zeros((40, 6), np.float32)[::2, ::2], zeros((3, 5), np.float32), zeros((20, 5), np.float32))


def test_the_choice_of_kernels():
    simd.set_instruction_set("baseline")
    wide = {"auto": "blas", "packed": "packed", "blas": "blas"}
    for name, wanted in wide.items():
        set_product_kernels(name)
        assert product_kernels() == wanted
    with pytest.raises(ValueError, match="product kernels: expected one of auto, packed, blas, got 'mkl'"):
        set_product_kernels("mkl")


@pytest.mark.parametrize("name", [name for name in simd.supported_instruction_sets() if name != "baseline"])
def test_wide_vectors_multiply_by_themselves(name):
    simd.set_instruction_set(name)
    assert product_kernels() == ("blas" if name.startswith("neon") else "packed"), "NEON's vectors are short"


def in_new_process(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, **environment}
    )


def test_the_environment_forces_the_blas():
    code = "from textgru.core import products; print(products.product_kernels())"
    for name in ("packed", "blas"):
        assert in_new_process(code, TEXTGRU_PRODUCTS=name).stdout.strip() == name
    result = in_new_process(code, TEXTGRU_PRODUCTS="mkl")
    assert "TEXTGRU_PRODUCTS: product kernels: expected one of auto, packed, blas, got 'mkl'" in result.stderr
    assert result.stdout.strip() == product_kernels()


def test_automatic_precision():
    for name in simd.supported_instruction_sets():
        simd.set_instruction_set(name)
        assert choose_precision("auto") == ("bf16" if name.endswith("_bf16") else "fp32")
    assert [choose_precision(name) for name in ("fp32", "bf16")] == ["fp32", "bf16"]
    for bad in ("int8", None):
        with pytest.raises(ValueError, match="precision: expected"):
            choose_precision(bad)
    with pytest.raises(ValueError, match="precision: expected one of fp32, bf16, got 'int8'"):
        GRU(2, 3, precision="int8")


def test_an_object_may_have_kernels_of_its_own():
    """Whatever is set for the process; few rows are then multiplied by our own kernels as well."""
    results = []
    for chosen in ("blas", "packed"):
        set_product_kernels(chosen)
        for own in ("packed", "blas"):
            products, c = Products(kernels=own), np.empty((3, 70), np.float32)
            assert products.kernels == own
            products.multiply(numbers((3, 500), 1), numbers((500, 70), 2), c)
            results.append(c.tobytes())
    assert results[:2] == results[2:]
    if simd.instruction_set() in ("avx2", "avx512", "avx512_bf16"):  # others may add up in the same order as the BLAS
        assert results[0] != results[1]
    for bad in ("mkl", 3, ["packed"]):
        with pytest.raises(ValueError, match="kernels: expected one of auto, packed, blas"):
            Products(kernels=bad)


@pytest.mark.parametrize("kernels", PRODUCT_KERNELS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_may_not_share_memory_with_what_is_read(dtype, kernels):
    set_product_kernels(kernels)
    room = np.ones((20, 60), dtype)
    a, b, c = room[:, :20], room[:, 20:40], room[:, 40:]
    Products().multiply(a, b, c)  # columns side by side share none
    np.testing.assert_array_equal(c, 20)
    for wrong in (a, b, room[:, 30:50]):
        with pytest.raises(ValueError, match="c: expected an array apart from [ab]"):
            Products().multiply(a, b, wrong)
    with pytest.raises(ValueError, match="c: expected an array apart from bias"):
        Products().multiply(a, b, c, bias=c[3])
    with pytest.raises(ValueError, match="pairs: expected one or two, got 3"):
        Products().multiply_sum([(a, b)] * 3, c)
    hankel = np.lib.stride_tricks.as_strided(np.ones(60, dtype), (20, 20), (room.itemsize,) * 2)
    with pytest.raises(ValueError, match="rows or columns are contiguous"):
        Products().multiply(hankel, b, c)
