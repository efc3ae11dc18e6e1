"""Products of all shapes against NumPy."""

import itertools

import numpy as np
import pytest

from textgru.core import set_num_threads
from textgru.core._products import blas

SIZES = [0, 1, 3, 17, 65]
TOLERANCE = {np.float32: 1e-4, np.float64: 1e-12}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("transposes", list(itertools.product([False, True], repeat=2)), ids=str)
@pytest.mark.parametrize("threads", [1, 3])
def test_multiply(threads, transposes, dtype):
    set_num_threads(threads)
    rng = np.random.default_rng(0)
    for m, n, k in itertools.product(SIZES, repeat=3):
        a = rng.standard_normal((k, m) if transposes[0] else (m, k)).astype(dtype)
        b = rng.standard_normal((n, k) if transposes[1] else (k, n)).astype(dtype)
        wanted = (a.T if transposes[0] else a) @ (b.T if transposes[1] else b)
        for accumulate in (False, True):
            c = np.full((m, n), 2 if accumulate else np.nan, dtype)
            blas.multiply(a, b, c, transpose_a=transposes[0], transpose_b=transposes[1], accumulate=accumulate)
            np.testing.assert_allclose(
                c, wanted + 2 * accumulate, atol=TOLERANCE[dtype], err_msg=f"{m} {n} {k} {accumulate}"
            )


def test_large_products_are_shared_among_threads_correctly():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((257, 129)), rng.standard_normal((129, 131))
    for threads in (1, 2, 5):
        set_num_threads(threads)
        c = np.empty((257, 131))
        blas.multiply(a, b, c)
        np.testing.assert_allclose(c, a @ b, atol=1e-11)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match="shapes don't fit"):
        blas.multiply(np.zeros((2, 3)), np.zeros((4, 5)), np.zeros((2, 5)))
    with pytest.raises(ValueError, match="shapes don't fit"):
        blas.multiply(np.zeros((2, 3)), np.zeros((3, 5)), np.zeros((2, 4)))


def test_version_names_openblas():
    assert blas.blas_version().startswith("OpenBLAS 0.")
