"""Surprisals against plain NumPy, and what a model in a program's hands says of them."""

import math
import tracemalloc

import numpy as np
import pytest

import textgru
from tests.analysis.plain import log_probabilities, of_targets
from tests.texts import MIXED, sentences
from textgru.analysis import surprisal
from textgru.analysis.evaluate import evaluate
from textgru.analysis.surprisal import LEVELS, level, level_names, surprisals
from textgru.errors import InputError
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

TEXT = sentences(3000)


def model_of(kind, **settings):
    tokenizer = Tokenizer.train(kind, lambda: [TEXT, MIXED], **settings)
    network = Network(NetworkConfig(tokenizer.vocab_size, 6, 12), seed=1)
    network.parameters.values[...] *= 4
    return LanguageModel(network, tokenizer)


@pytest.fixture(scope="module")
def model():
    return model_of("char")


@pytest.mark.parametrize("top", [0, 3])
@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_it_is_what_numpy_says(kind, top):
    model = model_of(kind)
    found = model.surprisals(TEXT + MIXED, top=top)
    log_p = log_probabilities(model.network, found.tokens)
    np.testing.assert_array_equal(
        found.tokens, model.tokenizer.encode((TEXT + MIXED).replace("\r", "\n").replace("\ufeff", ""))
    )
    assert np.isnan(found.bits[0])
    np.testing.assert_allclose(found.bits[1:], -of_targets(log_p, found.tokens) / math.log(2), atol=1e-4)
    assert found.likeliest.shape == found.probabilities.shape == (len(found), top)
    if top:
        assert np.isnan(found.probabilities[0]).all()
        np.testing.assert_allclose(found.probabilities[1:], -np.sort(-np.exp(log_p), axis=1)[:, :top], atol=1e-5)
        own = np.exp(np.take_along_axis(log_p, found.likeliest[1:], axis=1))
        np.testing.assert_allclose(found.probabilities[1:], own, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_mean_is_the_loss(model, precision):
    model = LanguageModel(model.network, model.tokenizer, precision=precision)
    for top in (0, 2):
        mean = model.surprisals(TEXT, top=top).bits[1:].mean()
        assert mean * math.log(2) == pytest.approx(model.score(TEXT).loss, abs=1e-6)


def test_it_is_what_pytorch_says(model):
    torch = pytest.importorskip("torch")
    views = {name: torch.tensor(array) for name, array in model.network.named_parameters().items()}
    gru = torch.nn.GRU(6, 12)
    gru.load_state_dict({name.removeprefix("gru."): view for name, view in views.items() if name.startswith("gru.")})
    found = model.surprisals(TEXT)
    ids = torch.tensor(found.tokens)
    with torch.inference_mode():
        y, _ = gru(views["embedding.weight"][ids[:-1]][:, None])
        logits = torch.nn.functional.linear(y[:, 0], views["output.weight"], views["output.bias"])
        losses = torch.nn.functional.cross_entropy(logits.double(), ids[1:], reduction="none").numpy()
    np.testing.assert_allclose(found.bits[1:] * math.log(2), losses, atol=1e-4)
    assert found.bits[1:].mean() * math.log(2) == pytest.approx(losses.mean(), abs=1e-6)


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_the_texts_of_the_tokens_are_the_text(kind):
    model, text = model_of(kind), "Zoë: 日本語 🙂"
    found = model.surprisals(text)
    assert "".join(found.texts) == text
    assert len(found.texts) == len(found.tokens)
    if kind == "byte":
        assert found.texts[2:4] == ["", "ë"]  # a character of two bytes comes with its last


@pytest.mark.parametrize("top", [0, 4])
def test_windows_and_pieces_change_nothing(model, top, monkeypatch):
    whole = model.surprisals(TEXT, top=top)
    monkeypatch.setattr(surprisal, "WINDOW", 7)
    tokens = whole.tokens.astype(np.uint8)
    cut = [tokens[:1], tokens[1:1], tokens[1:500], tokens[500:]]
    parts = list(model.stream_surprisals(cut, top=top))
    assert max(map(len, parts)) == 7
    np.testing.assert_array_equal(np.concatenate([part.tokens for part in parts]), whole.tokens)
    np.testing.assert_allclose(np.concatenate([part.bits for part in parts]), whole.bits, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([part.likeliest for part in parts]), whole.likeliest)
    np.testing.assert_allclose(np.concatenate([part.probabilities for part in parts]), whole.probabilities, rtol=1e-6)


def test_memory_does_not_grow_with_the_text(model):
    block = model.tokenizer.encode(TEXT).astype(np.uint8)

    def peak(repetitions):
        tracemalloc.start()
        tokens = sum(len(part) for part in model.stream_surprisals(block for _ in range(repetitions)))
        assert tokens == len(block) * repetitions
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)
    assert peak(60) < 1.5 * peak(6)


def test_short_texts(model):
    assert len(model.surprisals("")) == 0
    assert model.surprisals("", top=2).likeliest.shape == (0, 2)
    (only,) = model.surprisals("T").bits
    assert math.isnan(only)


def test_no_more_alternatives_than_tokens(model):
    found = model.surprisals("The", top=10_000)
    assert found.likeliest.shape == (3, model.tokenizer.vocab_size)
    np.testing.assert_allclose(found.probabilities[1:].sum(axis=1), 1, atol=1e-6)
    assert len(surprisal.joined(surprisals(model.packed(), model.tokenizer, []), 3)) == 0


@pytest.mark.parametrize("top", [-1, 1.5, None, True])
def test_a_bad_top_is_named(model, top):
    with pytest.raises(InputError, match="top: expected an integer from 0 up"):
        model.surprisals("The", top=top)
    with pytest.raises(textgru.InputError, match="text: expected a str, got bytes"):
        model.surprisals(b"The")


def test_levels():
    assert [level(bits) for bits in (math.nan, 0, 0.99, *LEVELS, math.inf)] == [0, 0, 0, 1, 2, 3, 4, 5, 6, 6]
    assert level_names()[:2] == ["below 1", "1 to 2"]
    assert len(level_names()) == len(LEVELS) + 1


def test_evaluate_says_the_same_of_the_same_tokens(model):
    tokens = model.tokenizer.encode(TEXT)
    parts = surprisals(model.packed(), model.tokenizer, [tokens])
    bits = np.concatenate([part.bits for part in parts])
    assert np.nansum(bits) * math.log(2) / (len(tokens) - 1) == pytest.approx(
        evaluate(model.network, tokens, streams=1).loss, abs=1e-6
    )
