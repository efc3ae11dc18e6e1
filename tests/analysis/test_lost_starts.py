"""A network made to go astray where it begins with one of two tokens, and one that doesn't."""

import numpy as np
import pytest

from textgru.analysis.lost_starts import LENGTH, OTHERS, Starts, lost_starts
from textgru.model.config import NetworkConfig
from textgru.model.network import Network


def latching(sure=10.0):
    """Unit 0 becomes 1, and stays so, where token 0 is the very first one; then token 2 is thought to be likely. Unit 1
    says that there has been a token."""
    network = Network(NetworkConfig(3, 3, 2), seed=0)
    network.parameters.values[...] = 0
    weights = network.named_parameters()
    weights["embedding.weight"][...] = np.eye(3)
    gate = {"reset": slice(0, 2), "update": slice(2, 4), "new": slice(4, 6)}
    bias, w_ih, w_hh = weights["gru.bias_ih_l0"], weights["gru.weight_ih_l0"], weights["gru.weight_hh_l0"]
    bias[gate["reset"]] = 50
    bias[gate["update"]] = [-20, -50]
    w_hh[2, 0] = 40  # unit 0 keeps what it is once it is 1
    bias[gate["new"]] = [-10, 20]
    w_ih[4, 0], w_hh[4, 1] = 20, -40
    weights["output.bias"][...] = [0, 0, -5]
    weights["output.weight"][2, 0] = sure
    return network


def text(n=9001):
    return np.random.default_rng(1).integers(0, 2, n).astype(np.uint8)


def test_places_that_lead_astray_are_counted():
    tokens = text()
    places = np.random.default_rng(0).integers(0, len(tokens) - LENGTH, 30)
    astray = [tokens[p] == 0 and any(tokens[p + later] == 1 for later in OTHERS) for p in places]
    assert lost_starts(latching(), tokens) == Starts(30, sum(astray))
    assert 5 < sum(astray) < 25


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_none_of_a_network_that_finds_back(precision):
    assert lost_starts(latching(sure=0.0).pack(precision), text()) == Starts(30, 0)
    assert lost_starts(latching(), text(LENGTH)) == Starts(0, 0), "too short a text to say anything"
    assert lost_starts(latching(), text(LENGTH + 1)).tried == 1


def test_scores_that_are_not_finite_are_lost():
    network = latching()
    network.parameters.values[...] = np.nan
    assert lost_starts(network, text()) == Starts(30, 30)
