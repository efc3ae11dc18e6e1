"""Weights that follow a text."""

import numpy as np
import pytest

from textgru.analysis.dynamic import DynamicSettings, follow_text, followed_surprisals, follower_of
from textgru.analysis.evaluate import evaluate
from textgru.analysis.surprisal import joined
from textgru.errors import InputError, TextgruError
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

TOKENS = np.tile(np.array([1, 4, 2, 0, 3], np.uint8), 80)


def network(dropout=0.3):
    return Network(NetworkConfig(5, 6, 12, 2, dropout=dropout, input_dropout=dropout, weight_dropout=dropout), seed=1)


def test_a_rate_of_nothing_is_the_loss_of_one_walk():
    one = network()
    found = follow_text(follower_of(one), TOKENS, DynamicSettings(rate=0.0, segment=7))
    wanted = evaluate(one, TOKENS, streams=1)
    assert found.tokens == wanted.tokens == len(TOKENS) - 1
    assert found.loss == pytest.approx(wanted.loss, abs=1e-5)


def test_each_segment_is_scored_before_it_is_learned():
    """The first one costs what it costs without following; a text that repeats itself costs less and less."""
    one = network()
    copy = follower_of(one)
    first = follow_text(copy, TOKENS[:65], DynamicSettings(rate=0.1, segment=64))
    assert first.loss == pytest.approx(evaluate(one, TOKENS[:65], streams=1).loss, abs=1e-5)
    assert (
        follow_text(follower_of(one), TOKENS, DynamicSettings(rate=0.05)).loss
        < 0.9 * evaluate(one, TOKENS, streams=1).loss
    )


def test_the_network_itself_stays_as_it_is():
    one = network()
    before = one.parameters.values.copy()
    copy = follower_of(one)
    follow_text(copy, TOKENS)
    np.testing.assert_array_equal(one.parameters.values, before)
    assert (copy.parameters.values != before).mean() > 0.5
    assert copy.config.dropout == copy.config.input_dropout == copy.config.weight_dropout == 0


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match="tokens: expected at least 2, got 1"):
        follow_text(network(0.0), TOKENS[:1])
    with pytest.raises(InputError, match="segment: expected"):
        DynamicSettings(segment=0)
    broken = network(0.0)
    broken.parameters.values[...] = np.nan
    with pytest.raises(TextgruError, match="token 1: the loss is no longer finite"):
        follow_text(broken, TOKENS)


@pytest.mark.parametrize("top", [0, 2])
def test_the_surprisals_are_those_of_the_one_figure(top):
    """However the text comes."""
    one, tokenizer = network(), Tokenizer.train("char", lambda: ["abcde"])
    wanted = follow_text(follower_of(one), TOKENS)
    for parts in ([TOKENS], np.array_split(TOKENS, 7), [TOKENS[:1], TOKENS[1:2], TOKENS[2:]]):
        found = joined(followed_surprisals(follower_of(one), tokenizer, parts, top=top), top)
        np.testing.assert_array_equal(found.tokens, TOKENS)
        assert np.isnan(found.bits[0])
        assert found.bits[1:].mean() * np.log(2) == pytest.approx(wanted.loss, abs=1e-5)
        assert found.likeliest.shape == (len(TOKENS), top)
    if top:
        hit = found.likeliest[1:, 0] == TOKENS[1:]
        assert hit.any()
        np.testing.assert_allclose(found.bits[1:][hit], -np.log2(found.probabilities[1:, 0][hit]), atol=1e-4)
