"""Tokens drawn one after another."""

import numpy as np
import pytest

import textgru.generation.generate
from textgru.generation.generate import draw_tokens
from textgru.generation.sampling import Sampling
from textgru.model.config import NetworkConfig
from textgru.model.network import Network


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_what_is_drawn_does_not_depend_on_how_much_at_a_time(precision, monkeypatch):
    packed = Network(NetworkConfig(17, 8, 70, 2), seed=1).pack(precision)
    drawn = []
    for seconds in (0.0, 1e9):  # always a few; more and more
        monkeypatch.setattr(textgru.generation.generate, "LONGEST_AT_A_TIME", seconds)
        drawn.append(list(draw_tokens(packed, np.zeros(1, np.intp), 200, Sampling(), np.random.default_rng(0))))
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 200
    assert len(set(drawn[0])) > 5


def test_a_text_that_ends_early_leaves_the_generator_where_its_tokens_end(monkeypatch):
    """The next text of the same generator is the same, however many tokens were drawn at a time."""
    packed = Network(NetworkConfig(17, 8, 70), seed=1).pack()
    following = []
    for seconds in (0.0, 1e9):
        monkeypatch.setattr(textgru.generation.generate, "LONGEST_AT_A_TIME", seconds)
        rng = np.random.default_rng(0)
        for taken in (1, 21, 0, 40):
            tokens = draw_tokens(packed, np.zeros(1, np.intp), 200, Sampling(), rng)
            for _ in range(taken):
                next(tokens)
            tokens.close()
        following.append(rng.random())
    one_each = np.random.default_rng(0)
    one_each.random(1 + 21 + 40)
    assert following == [one_each.random()] * 2
