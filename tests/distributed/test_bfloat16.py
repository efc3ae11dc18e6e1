"""Gradients that are rounded before they are sent."""

import numpy as np
import pytest

from textgru.distributed.bfloat16 import Bfloat16


def rounded(values):
    values = np.array(values, np.float32)
    halves, back = np.empty(len(values), np.uint16), np.empty_like(values)
    Bfloat16(len(values)).round(values, halves)
    Bfloat16(0).widen(halves, back)
    return back


def test_to_the_nearest_and_of_two_away_from_zero():
    step = 2.0**-7  # between neighbours at 1
    above = np.array([0, 1, 0.4, 0.5, 1.5, 0.51, 0.49]) * step
    wanted = np.array([0, 1, 0, 1, 2, 1, 0]) * step
    np.testing.assert_array_equal(rounded(1 + above), (1 + wanted).astype(np.float32))
    np.testing.assert_array_equal(rounded(-1 - above), (-1 - wanted).astype(np.float32))
    assert rounded([1e38, -3e-38]) == pytest.approx([1e38, -3e-38], rel=2**-8)
    assert np.signbit(rounded([0.0, -0.0])).tolist() == [False, True]


def test_what_is_not_finite_stays_so():
    values = np.array([np.inf, -np.inf, np.nan, -np.nan])
    np.testing.assert_array_equal(rounded(values), values)


def test_sums_are_made_in_float32():
    parts = np.random.default_rng(0).standard_normal((3, 17)).astype(np.float32)
    parts = np.stack([rounded(part) for part in parts])
    halves = parts.view(np.uint16)[:, 1::2] if np.little_endian else parts.view(np.uint16)[:, ::2]
    np.testing.assert_array_equal(Bfloat16(17).add_up(halves), parts[0] + parts[1] + parts[2])
