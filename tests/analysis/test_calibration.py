"""The expected calibration error against its definition, written out."""

import numpy as np
import pytest

from textgru.analysis.calibration import Calibration


def error(confidence, right):
    calibration = Calibration()
    calibration.add(np.array(confidence), np.array(right))
    return calibration.error


def by_definition(confidence, right):
    total = 0.0
    for m in range(1, 16):
        inside = (confidence > (m - 1) / 15) & (confidence <= m / 15)
        if inside.any():
            total += inside.sum() / len(right) * abs(right[inside].mean() - confidence[inside].mean())
    return total


def test_it_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    confidence, right = rng.random(5000), rng.random(5000) < 0.4
    assert error(confidence, right) == pytest.approx(by_definition(confidence, right), rel=1e-12)


def test_parts_add_up():
    rng = np.random.default_rng(0)
    confidence, right = rng.random(300), rng.random(300) < 0.4
    calibration = Calibration()
    for part in (slice(0, 100), slice(100, 300)):
        calibration.add(confidence[part], right[part])
    assert calibration.error == pytest.approx(error(confidence, right))


def test_one_that_is_right_as_often_as_it_says_has_none():
    assert error([0.75] * 4, [True, True, True, False]) == 0
    assert error([1.0, 1.0], [True, True]) == 0


def test_one_that_is_sure_and_wrong_has_all():
    assert error([1.0, 1.0], [False, False]) == 1
    assert error([0.9, 0.9], [True, False]) == pytest.approx(0.4)


def test_too_sure_in_one_bin_is_not_made_good_by_another():
    assert error([0.95] * 2 + [0.05] * 2, [False, False, True, True]) == pytest.approx(0.95)


def test_without_predictions():
    assert Calibration().error == 0
