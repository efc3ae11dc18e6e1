"""The dropout mask: its rate, its scale, its key."""

import numpy as np
import pytest

from textgru.core import set_num_threads, simd
from textgru.core._support.dropout import dropout


def mask(n, p, key):
    x = np.ones(n, np.float32)
    dropout(x, p, key)
    return x


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_rate_and_scale(p):
    x = mask(1_000_000, p, 12345)
    assert np.unique(x).tolist() == pytest.approx([0, 1 / (1 - p)])
    assert (x == 0).mean() == pytest.approx(p, abs=0.003)
    assert x.mean() == pytest.approx(1, abs=0.01)


def test_no_pattern_between_neighbours_blocks_or_keys():
    dropped = mask(1 << 20, 0.5, 99) == 0
    other = mask(1 << 20, 0.5, 100) == 0
    for first, second in [(dropped[:-1], dropped[1:]), (dropped[:-4096], dropped[4096:]), (dropped, other)]:
        assert (first & second).mean() == pytest.approx(0.25, abs=0.003)


@pytest.mark.parametrize("period", [1, 17, 4096, 9001])
def test_a_period_repeats_the_mask(period):
    for threads in (1, 3):
        set_num_threads(threads)
        for dtype in (np.float32, np.float64):
            x = np.ones((5, period), dtype)
            dropout(x.reshape(-1), 0.4, 11, period)
            for row in x:
                np.testing.assert_allclose(row, mask(period, 0.4, 11), rtol=1e-6)


def test_a_period_divides_the_elements():
    with pytest.raises(ValueError, match="period: expected a divisor of 10, got 3"):
        dropout(np.ones(10), 0.5, 1, 3)
    dropout(np.ones(0), 0.5, 1, 3)


def test_part_of_a_mask_and_a_source():
    whole = mask(10_000, 0.4, 11)
    for start, size in [(0, 1), (1, 5000), (4096, 5904)]:
        x, source = np.full(size, np.nan, np.float32), np.full(size, 2, np.float32)
        dropout(x, 0.4, 11, start=start, source=source)
        np.testing.assert_array_equal(x, 2 * whole[start : start + size])
        np.testing.assert_array_equal(source, 2)
    with pytest.raises(ValueError, match="source: expected 5 elements, got 4"):
        dropout(np.ones(5), 0.5, 1, source=np.ones(4))


def test_same_key_same_mask_for_any_threads_and_instruction_set():
    wanted = mask(100_003, 0.3, 7)
    for threads in (1, 2, 5):
        for name in simd.supported_instruction_sets():
            set_num_threads(threads)
            simd.set_instruction_set(name)
            np.testing.assert_array_equal(mask(100_003, 0.3, 7), wanted)
