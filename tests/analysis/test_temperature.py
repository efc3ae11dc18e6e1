"""The temperature that suits a text, against a search by hand."""

import numpy as np
import pytest

from tests.analysis.plain import log_probabilities
from textgru.analysis.temperature import COLDEST, HOTTEST, MOST_TOKENS, calibrated_temperature
from textgru.model.config import NetworkConfig
from textgru.model.network import Network


def network_times(factor, vocab_size=11):
    """A network, its scores times a factor."""
    network = Network(NetworkConfig(vocab_size, 5, 9, 2), seed=1)
    network.parameters.values[...] *= 4
    for name in ("output.weight", "output.bias"):
        network.named_parameters()[name][...] *= factor
    return network


def text_of(network, n):
    """Tokens drawn from the network itself, so that the temperature 1 suits them."""
    tokens = np.zeros(n, np.intp)
    tokens[1:] = network.session().generate(0, np.random.default_rng(2).random((n - 1, 1)))[:, 0]
    return tokens


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("packed", [False, True])
def test_it_has_the_least_loss(factor, packed):
    tokens = text_of(network_times(1.0), 3000)
    network = network_times(factor)
    found = calibrated_temperature(network.pack() if packed else network, tokens)
    log_p = log_probabilities(network, tokens)

    def loss(temperature):
        scores = log_p / temperature
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        return -scores[np.arange(len(scores)), tokens[1:]].mean()

    grid = np.arange(0.2, 5, 0.001)
    assert found == pytest.approx(grid[np.argmin([loss(one) for one in grid])], rel=1e-2)  # read in parts
    assert found == pytest.approx(factor, rel=0.1)


def test_a_short_text_is_read_as_one():
    tokens, network = text_of(network_times(1.0), 900), network_times(2.0)
    log_p = log_probabilities(network, tokens)
    losses = {}
    for temperature in np.arange(1, 3, 0.002):
        scores = log_p / temperature
        scores -= np.log(np.exp(scores).sum(axis=1, keepdims=True))
        losses[temperature] = -scores[np.arange(len(scores)), tokens[1:]].mean()
    assert calibrated_temperature(network, tokens) == pytest.approx(min(losses, key=losses.get), rel=3e-3)


def test_hopeless_and_certain_networks_stay_within_bounds():
    network, rng = network_times(1.0), np.random.default_rng(0)
    network.named_parameters()["output.weight"][...] = 0
    network.named_parameters()["output.bias"][...] = np.arange(11)
    assert calibrated_temperature(network, np.full(50, 10)) < 2 * COLDEST  # always right
    assert calibrated_temperature(network, np.full(50, 0)) == pytest.approx(HOTTEST)  # always wrong
    network.named_parameters()["output.bias"][...] = 0
    assert calibrated_temperature(network, rng.integers(0, 11, 50)) == pytest.approx(1.0)  # says nothing
    with pytest.raises(ValueError, match="expected at least 2"):
        calibrated_temperature(network, np.zeros(1, np.intp))


def test_the_beginning_of_a_long_text_is_looked_at():
    network = network_times(1.0)
    tokens = text_of(network, MOST_TOKENS + 100)
    assert calibrated_temperature(network, tokens) == calibrated_temperature(network, tokens[:MOST_TOKENS])
