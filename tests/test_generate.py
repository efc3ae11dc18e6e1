"""Tokens drawn one after another."""

import numpy as np
import pytest

import textgru.generate
from textgru.generate import draw_tokens
from textgru.network import Network, NetworkConfig
from textgru.sampling import Sampling


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_is_drawn_does_not_depend_on_how_much_at_a_time(precision, monkeypatch):
    network = Network(NetworkConfig(17, 8, 70, 2), seed=1)
    drawn = []
    for seconds in (0.0, 1e9):  # always a few; more and more
        monkeypatch.setattr(textgru.generate, "LONGEST_AT_A_TIME", seconds)
        drawn.append(
            list(
                draw_tokens(
                    network, np.zeros(1, np.intp), 200, Sampling(), np.random.default_rng(0), precision=precision
                )
            )
        )
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 200
    assert len(set(drawn[0])) > 5
