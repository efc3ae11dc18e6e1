"""TokenStep, which is deprecated, still does what it did."""

import numpy as np
import pytest

from textgru.core import GRU, Linear, PackedNetwork, Session
from textgru.core.step import TokenStep


def test_it_is_a_session_of_one_row():
    gru, output = GRU(5, 33, 2, seed=1), Linear(33, 17, seed=2)
    embedding = np.random.default_rng(3).standard_normal((17, 5)).astype(np.float32)
    with pytest.warns(DeprecationWarning, match="use textgru.core.PackedNetwork and Session"):
        step = TokenStep(embedding, gru, output)
    session = Session(PackedNetwork(embedding, gru, output))
    begin = np.random.default_rng(4).standard_normal((2, 33)).astype(np.float32)
    step.state[...] = begin
    session.state = (begin[:, None].copy(),)
    step.step(3)
    session.step(3)
    np.testing.assert_array_equal(step.logits, session.logits[0])
    u = np.random.default_rng(5).random(20)
    np.testing.assert_array_equal(step.generate(1, u, 0.8), session.generate(1, u, 0.8))
    np.testing.assert_array_equal(step.state, session.state[0][:, 0])
    tokens = np.arange(6)
    np.testing.assert_array_equal(step.losses(tokens, tokens), session.losses(tokens, tokens))
    step.logits[...] = -np.inf
    step.logits[7] = 0
    assert step.draw(1.0, 0.5) == 7
