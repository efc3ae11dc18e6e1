"""Gradients that are rounded before they are sent."""

import numpy as np

from textgru.distributed.bfloat16 import from_bfloat16, to_bfloat16


def test_to_the_nearest_and_of_two_to_the_even():
    step = 2.0**-7  # between neighbours at 1
    values = np.array(
        [1, 1 + step, 1 + 0.4 * step, 1 + 0.5 * step, 1 + 1.5 * step, 1 + 0.51 * step, -3.0, 0, -0.0, 1e38]
    )
    rounded = from_bfloat16(to_bfloat16(values.astype(np.float32)))
    wanted = [1, 1 + step, 1, 1, 1 + 2 * step, 1 + step, -3, 0, 0, rounded[-1]]
    np.testing.assert_array_equal(rounded, np.array(wanted, np.float32))
    assert abs(rounded[-1] / 1e38 - 1) < 2**-8
    assert np.signbit(rounded[8])


def test_what_is_not_finite_stays_so():
    values = np.array([np.inf, -np.inf, np.nan, 3.4e38], np.float32)
    rounded = from_bfloat16(to_bfloat16(values))
    assert not np.isfinite(rounded).any()
    np.testing.assert_array_equal(rounded[:2], values[:2])
