"""Tokens drawn from scores that the caller has, with all controls."""

import numpy as np
import pytest

from tests.core.networks import network
from textgru.core import PackedNetwork, Sampler, Session

CONTROLS = {
    "plain": {},
    "greedy": {"temperature": 0.0},
    "penalties": {"repetition_penalty": 1.5, "frequency_penalty": 0.3, "top_k": 9, "dry_multiplier": 1.0},
    "mirostat": {"mirostat_tau": 2.5, "eos": 3, "min_tokens": 5},
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("controls", CONTROLS.values(), ids=CONTROLS)
def test_drawing_from_scores_is_what_a_session_does(controls, dtype):
    packed = PackedNetwork(*network("gru", 20, 5, 16, 1, dtype=dtype))
    u, first = np.random.default_rng(2).random((30, 3)), np.array([1, 2, 3])
    wanted = Session(packed, 3).generate(first, u, sampler=Sampler(packed.vocab_size, 3, **controls))
    session, sampler, tokens = Session(packed, 3), Sampler(packed.vocab_size, 3, **controls), first
    for numbers, drawn in zip(u, wanted, strict=True):
        session.step(tokens)
        scores = np.array(session.logits)
        tokens = sampler.draw(scores, numbers)
        np.testing.assert_array_equal(tokens, drawn)
        np.testing.assert_array_equal(scores, session.logits, err_msg="they stay as they were")


def test_what_cannot_be_drawn_from_is_refused():
    sampler = Sampler(4, 2)
    scores, u = np.zeros((2, 4), np.float32), np.full(2, 0.5)
    scores[1, :3] = -np.inf
    assert sampler.draw(scores, u).tolist()[1] == 3
    for bad_scores, bad_u, error in (
        (scores[:1], u, ValueError),
        (np.zeros((2, 4), int), u, TypeError),
        (scores, u[:1], ValueError),
        (scores, np.array([0.5, 1.0]), ValueError),
        (scores, np.array([np.nan, 0.0]), ValueError),
        (np.full((2, 4), -np.inf), u, ValueError),
        (np.full((2, 4), np.nan), u, ValueError),
    ):
        with pytest.raises(error):
            sampler.draw(bad_scores, bad_u)
