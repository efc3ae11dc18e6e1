"""Lines side by side: each has the score that it has alone."""

import math

import numpy as np
import pytest

from tests.analysis.plain import log_probabilities, of_targets
from tests.texts import sentences
from textgru.analysis import line_scores
from textgru.analysis.line_scores import LineScore, LineScorer
from textgru.errors import InputError
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

TEXT = sentences(3000)
LINES = [*TEXT.splitlines()[:30], "", "a", "The", "", TEXT.replace("\n", " "), "river"]


def model_of(kind="char", text=TEXT, **settings):
    tokenizer = Tokenizer.train(kind, lambda: [text], **settings)
    network = Network(NetworkConfig(tokenizer.vocab_size, 6, 12), seed=1)
    network.parameters.values[...] *= 4
    return LanguageModel(network, tokenizer)


@pytest.fixture(scope="module")
def model():
    return model_of()


def by_numpy(model, text, start):
    tokens = np.concatenate([start, model.tokenizer.encode(text)])
    return of_targets(log_probabilities(model.network, tokens), tokens)[len(start) - 1 :]


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_a_line_begins_after_a_line_and_has_its_end(kind):
    model = model_of(kind)
    scores = model.score_lines(LINES)
    assert len(scores) == len(LINES)
    for line, score in zip(LINES, scores, strict=True):
        log_p = by_numpy(model, f"{line}\n", model.tokenizer.encode("\n"))
        assert score.log_prob == pytest.approx(log_p.sum(), rel=1e-5)
        assert (score.tokens, score.characters, score.unknown) == (len(log_p), len(line) + 1, 0)


def test_a_model_of_documents_begins_as_after_one(model):
    model = model_of(eos=True)
    assert model.tokenizer.eos_id is not None
    for line, score in zip(LINES[:3], model.score_lines(LINES[:3]), strict=True):
        log_p = by_numpy(model, f"{line}\n", np.array([model.tokenizer.eos_id]))
        assert score.log_prob == pytest.approx(log_p.sum(), rel=1e-5)
    from_line_end = LineScorer(model.packed(), model.tokenizer, from_eos=False)
    assert from_line_end.score(LINES[:3]) != model.score_lines(LINES[:3])


def test_a_model_that_knows_no_line_ends_scores_none():
    model = model_of(text=TEXT.replace("\n", " "))
    found = model.score_lines(["The", "", "river"])
    assert [score.tokens for score in found] == [3, 0, 5]
    assert found[0].log_prob == pytest.approx(
        by_numpy(model, "The", np.array([model.tokenizer.unk_id])).sum(), rel=1e-5
    )
    assert found[1].log_prob == 0
    assert math.isnan(found[1].perplexity)
    assert math.isnan(found[1].bits_per_char)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_line_has_the_score_that_it_has_alone(model, precision):
    model = LanguageModel(model.network, model.tokenizer, precision=precision)
    together = model.score_lines(LINES)
    assert together == [model.score_lines([line])[0] for line in LINES]
    assert together[::-1] == model.score_lines(LINES[::-1])


def test_long_lines_are_read_in_parts(model, monkeypatch):
    wanted = model.score_lines(LINES)
    monkeypatch.setattr(line_scores, "STEPS", 10)
    monkeypatch.setattr(line_scores, "ROWS", 3)
    for score, other in zip(model.score_lines(LINES), wanted, strict=True):
        assert score.log_prob == pytest.approx(other.log_prob, rel=1e-6)
        assert score[1:] == other[1:]


def test_those_side_by_side_are_of_about_the_same_length(model, monkeypatch):
    """What is read for nothing stays small, also with one very long line among short ones."""
    read, session = [], line_scores.session_of

    class Watched:
        def __init__(self, packed, rows):
            self.session = session(packed, rows)
            self.read = self.session.read

        def losses(self, tokens, targets):
            read.append(tokens.size)
            return self.session.losses(tokens, targets)

    monkeypatch.setattr(line_scores, "session_of", Watched)
    lengths = np.random.default_rng(0).integers(1, 60, 2000)
    lines = [TEXT[:n].replace("\n", " ") for n in (*lengths, 2900)]
    scores = model.score_lines(lines)
    assert sum(read) < 1.2 * sum(score.tokens for score in scores)
    assert len(read) < 40


def test_units():
    score = LineScore(-math.log(8), 3, 6, 0)
    assert score.perplexity == pytest.approx(2)
    assert score.bits_per_char == pytest.approx(0.5)
    assert LineScore(-1e6, 1, 1, 0).perplexity == math.inf
    assert math.isnan(LineScore(math.nan, 1, 1, 0).perplexity)


def test_unknown_tokens_are_counted(model):
    assert [score.unknown for score in model.score_lines(["The", "Жe", "ЖЖ"])] == [0, 1, 2]


def test_marks_and_line_ends_are_read_as_in_training(model):
    assert model.score_lines(["\ufeffThe", "a\r\nb"]) == model.score_lines(["The", "a\nb"])
    with pytest.raises(InputError, match="text: expected a str, got bytes"):
        model.score_lines([b"The"])
    assert model.score_lines([]) == []
