"""Panels: the same 64 units of all gates together."""

import numpy as np
import pytest

from tests.reference import bf16
from textgru.core._products.packing import pack, pack_bf16, pack_int8
from textgru.core.quantization import quantize_rows


def matrix_of(rows, n):
    return np.random.default_rng(0).standard_normal((rows, n)).astype(np.float32)


def rows_of(panels, gates):
    """(P, n, 64) as (gates, units in whole blocks, n)."""
    blocks = len(panels) // gates
    return panels.reshape(blocks, gates, -1, 64).transpose(1, 0, 3, 2).reshape(gates, blocks * 64, -1)


@pytest.mark.parametrize("gates", [1, 3])
@pytest.mark.parametrize("units", [1, 64, 70])
@pytest.mark.parametrize("n", [1, 3, 17, 65])
def test_packing(n, units, gates):
    matrix = matrix_of(gates * units, n)
    for dtype in (np.float32, np.float64):
        rows = rows_of(pack(matrix.astype(dtype), gates), gates)
        assert rows.dtype == dtype
        np.testing.assert_array_equal(rows[:, :units], matrix.reshape(gates, units, n))
        assert not rows[:, units:].any()


@pytest.mark.parametrize("gates", [1, 4])
@pytest.mark.parametrize("n", [1, 3, 17, 64])
def test_packing_pairs_of_bf16(n, gates):
    matrix = matrix_of(gates * 70, n)
    pairs = rows_of(pack_bf16(matrix, gates), gates)
    numbers = np.stack([pairs << 16, pairs & 0xFFFF0000], axis=-1).view(np.float32).reshape(*pairs.shape[:2], -1)
    np.testing.assert_array_equal(numbers[:, :70, :n], bf16(matrix).reshape(gates, 70, n))
    assert not numbers[:, 70:].any()
    assert not numbers[:, :, n:].any()


@pytest.mark.parametrize("gates", [1, 3])
@pytest.mark.parametrize("n", [1, 3, 17, 64])
def test_packing_integers(n, gates):
    matrix = matrix_of(gates * 70, n)
    integers, scales = quantize_rows(matrix)
    packed, packed_scales, offsets = pack_int8(matrix, gates)
    quads = -(-n // 4)
    assert packed.shape == (2 * gates, quads, 64, 4)
    rows = rows_of(packed.transpose(0, 1, 3, 2).reshape(2 * gates, quads * 4, 64), gates)
    np.testing.assert_array_equal(rows[:, :70, :n], integers.reshape(gates, 70, n))
    assert not rows[:, 70:].any()
    assert not rows[:, :, n:].any()
    by_gate = rows_of(packed_scales.reshape(2 * gates, 1, 64), gates)[:, :, 0]
    np.testing.assert_array_equal(by_gate[:, :70], scales.reshape(gates, 70))
    sums = rows.sum(axis=2, dtype=np.int32)
    np.testing.assert_array_equal(rows_of(offsets.reshape(2 * gates, 1, 64), gates)[:, :, 0], -128 * sums)


def test_gates_that_do_not_fit():
    for pack_it in (pack, pack_bf16, pack_int8):
        with pytest.raises(ValueError, match="gates: expected a divisor of 70 rows, got 3"):
            pack_it(matrix_of(70, 2), 3)
        with pytest.raises(ValueError, match="gates: expected at least 1, got 0"):
            pack_it(matrix_of(70, 2), 0)
