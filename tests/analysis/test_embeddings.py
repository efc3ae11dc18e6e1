"""model.embed: vectors of texts."""

import numpy as np
import pytest

from tests.reference import recurrent
from textgru.errors import InputError
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

TEXTS = ["the ferry", "a", "", "old tam told nell about the bread\n" * 9, "the ferry", "tar", "wool and light" * 3]


@pytest.fixture(scope="module", params=["gru", "lstm", "rnn"])
def model(request):
    tokenizer = Tokenizer.train("char", lambda: iter(TEXTS))
    config = NetworkConfig(tokenizer.vocab_size, 12, 80, 2, cell=request.param)
    return LanguageModel(Network(config, seed=1), tokenizer)


def states_of(model, text):
    """The last layer's h after each token (T, H), by the reference."""
    network, tokens = model.network, model.tokenizer.encode(text)
    parameters = {name: array.astype(np.float64) for name, array in network.recurrent.parameters.items()}
    x = network.embedding.parameters["weight"][tokens][:, None].astype(np.float64)
    start = tuple(array.astype(np.float64) for array in network.initial_state(1))
    return recurrent(network.config.cell, x, start, parameters)[0][:, 0]


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_vectors_are_the_states_of_the_last_layer(model, pool):
    vectors = model.embed(TEXTS, pool=pool)
    assert vectors.shape == (len(TEXTS), 80)
    assert vectors.dtype == np.float32
    for text, vector in zip(TEXTS, vectors, strict=True):
        if not text:
            assert not vector.any()
            continue
        states = states_of(model, text)
        np.testing.assert_allclose(vector, states[-1] if pool == "last" else states.mean(axis=0), atol=2e-6)


@pytest.mark.parametrize("pool", ["last", "mean"])
def test_a_vector_does_not_depend_on_the_other_texts(model, pool):
    together = model.embed(TEXTS * 7, pool=pool)
    assert len(together) == 7 * len(TEXTS)
    for i, text in enumerate(TEXTS):
        for other in (model.embed([text], pool=pool)[0], together[i + 3 * len(TEXTS)], together[i + 6 * len(TEXTS)]):
            np.testing.assert_allclose(together[i], other, rtol=0, atol=1e-6)


def test_no_texts_no_vectors(model):
    assert model.embed([]).shape == (0, 80)


def test_line_ends_are_those_of_the_training(model):
    np.testing.assert_array_equal(model.embed(["a\r\nb"]), model.embed(["a\nb"]))


def test_progress_ends_with_all(model):
    seen = []
    model.embed(["a" * n for n in range(1, 80)], on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (sum(range(1, 80)), sum(range(1, 80)))


def test_bad_values_are_named(model):
    with pytest.raises(InputError, match="texts: expected a list of texts, got str"):
        model.embed("the ferry")
    with pytest.raises(InputError, match="text: expected a str, got int"):
        model.embed([3])
    with pytest.raises(InputError, match="pool: expected last or mean, got 'max'"):
        model.embed(["a"], pool="max")
    with pytest.raises(InputError) as found:
        model.embed(["a"], pool="é" * 5000)
    assert len(str(found.value)) < 300
