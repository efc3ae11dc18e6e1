"""The dropout mask: its rate, its scale, its key."""

import numpy as np
import pytest

from textgru.core import set_num_threads, simd
from textgru.core.dropout import dropout


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


def test_same_key_same_mask_for_any_threads_and_instruction_set():
    wanted = mask(100_003, 0.3, 7)
    for threads in (1, 2, 5):
        for name in simd.supported_instruction_sets():
            set_num_threads(threads)
            simd.set_instruction_set(name)
            np.testing.assert_array_equal(mask(100_003, 0.3, 7), wanted)
