"""The moving average of the weights."""

import numpy as np
import pytest

from textgru.core import Parameters, WeightAverage


def test_it_is_the_average_that_its_formula_says():
    parameters = Parameters({"w": (3, 5), "b": (7,)}, np.dtype(np.float64))
    average = WeightAverage(parameters, 0.8)
    rng, wanted = np.random.default_rng(1), None
    for step in range(1, 60):
        parameters.values[...] = rng.standard_normal(parameters.values.size)
        average.update(step)
        decay = min(0.8, (step - 1) / (step + 8))
        wanted = parameters.values.copy() if wanted is None else decay * wanted + (1 - decay) * parameters.values
    np.testing.assert_allclose(average.values, wanted, rtol=1e-12)


def test_the_first_weights_are_taken_whole():
    parameters = Parameters({"w": (4,)}, np.dtype(np.float32))
    average = WeightAverage(parameters, 0.999)
    parameters.values[...] = 3
    average.update(1)
    np.testing.assert_array_equal(average.values, parameters.values)


def test_in_use_lends_the_averages_and_gives_the_weights_back():
    parameters = Parameters({"w": (4,)}, np.dtype(np.float32))
    parameters.values[...] = 1
    average = WeightAverage(parameters, 0.5)
    parameters.values[...] = 2
    average.update(10)
    with pytest.raises(KeyError), average.in_use():
        np.testing.assert_array_equal(parameters.values, average.values)
        raise KeyError
    assert (parameters.values == 2).all()
    assert (average.values == 1.5).all()


@pytest.mark.parametrize("decay", [-0.1, 1, float("nan")])
def test_impossible_decays(decay):
    with pytest.raises(ValueError, match="decay: expected a number from 0 to below 1"):
        WeightAverage(Parameters({"w": (4,)}, np.dtype(np.float32)), decay)
