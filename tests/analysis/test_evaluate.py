"""Scores against a plain walk through the text."""

import itertools
import math

import numpy as np
import pytest

from textgru.analysis.evaluate import Score, evaluate
from textgru.model.config import NetworkConfig
from textgru.model.network import Network


@pytest.fixture(scope="module")
def network():
    return Network(NetworkConfig(7, 3, 9, 2), seed=1)


def walk(network, tokens):
    """The negative log-likelihood of each token but the first, one step at a time."""
    session, losses = network.session(), []
    for token, target in itertools.pairwise(tokens.astype(int).tolist()):
        session.step(token)
        scores = session.logits[0].astype(np.float64)
        losses.append(np.log(np.exp(scores).sum()) - scores[target])
    return np.array(losses)


@pytest.mark.parametrize("n", [2, 3, 128, 129, 130, 700])
def test_one_stream_is_exact(network, n):
    tokens = np.random.default_rng(0).integers(0, 7, n).astype(np.uint8)
    score = evaluate(network, tokens, streams=1)
    assert score.tokens == n - 1
    assert score.loss == pytest.approx(walk(network, tokens).mean(), rel=1e-5)


@pytest.mark.parametrize("n", [2000, 2001, 2999, 5003])
def test_several_streams_score_every_token_once(network, n):
    tokens = np.random.default_rng(0).integers(0, 7, n).astype(np.uint8)
    rows = min(4, (n - 1) // 1000)
    per_row = (n - 1) // rows
    parts = [walk(network, tokens[r * per_row : (r + 1) * per_row + 1]) for r in range(rows - 1)]
    parts.append(walk(network, tokens[(rows - 1) * per_row :]))  # the last one takes the rest
    score = evaluate(network, tokens, streams=4)
    assert score.tokens == n - 1 == sum(map(len, parts))
    assert score.loss == pytest.approx(np.concatenate(parts).mean(), rel=1e-5)


def test_too_short(network):
    with pytest.raises(ValueError, match="expected at least 2, got 1"):
        evaluate(network, np.zeros(1, np.uint8))


def test_units():
    score = Score(math.log(8), 100)
    assert score.perplexity == pytest.approx(8)
    assert score.bits_per_char(100, 100) == pytest.approx(3)
    assert score.bits_per_char(100, 300) == pytest.approx(1)
    assert Score(1e4, 1).perplexity == math.inf


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("streams", [1, 4])
def test_rounded_weights_are_near_float32(network, streams, precision):
    tokens = np.random.default_rng(0).integers(0, 7, 5003).astype(np.uint8)
    exact, rounded = (evaluate(network, tokens, streams=streams, precision=name) for name in ("fp32", precision))
    assert rounded.tokens == exact.tokens == 5002
    assert 0 < abs(rounded.loss - exact.loss) < 0.002
    assert evaluate(network.pack(precision), tokens, streams=streams) == rounded


def test_packed_weights_in_float32_score_the_same(network):
    tokens = np.random.default_rng(0).integers(0, 7, 5003).astype(np.uint8)
    for streams in (1, 4):
        scores = [evaluate(what, tokens, streams=streams).loss for what in (network, network.pack())]
        assert scores[0] == pytest.approx(scores[1], rel=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_progress(network, precision):
    told = []
    score = evaluate(
        network, np.zeros(5000, np.uint8), streams=3, precision=precision, on_progress=lambda *now: told.append(now)
    )
    assert told == sorted(told)
    assert {total for _, total in told} == {score.tokens}
    assert score.tokens - 3 < told[-1][0] <= score.tokens
