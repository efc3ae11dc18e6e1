"""Several texts side by side."""

import gc
import tracemalloc
from itertools import repeat

import numpy as np
import pytest

import textgru.generation.draws
import textgru.generation.generate
from tests.texts import sentences
from textgru.core import set_num_threads
from textgru.errors import InputError
from textgru.generation.settings import Settings
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

PROMPTS = ["The", "a ferry", "", "tar and", "wool", "Z", "The"]


@pytest.fixture(params=["char", "byte", "bpe"])
def model(request):
    """Not trained, with tokens that end documents and with bytes that are no characters."""
    settings = {"vocab_size": 300} if request.param == "bpe" else {}
    tokenizer = Tokenizer.train(request.param, lambda: [sentences(3000)], eos=True, **settings)
    network = Network(NetworkConfig(tokenizer.vocab_size, 8, 33, 2), seed=1)
    network.output.parameters["bias"][tokenizer.eos_id] += 1
    return LanguageModel(network, tokenizer)


def texts(pieces):
    """Number -> text, tokens, reason."""
    found = {}
    for piece in pieces:
        text, tokens, reason = found.get(piece.number, ("", [], None))
        assert reason is None, "nothing comes after the last piece"
        found[piece.number] = (text + piece.text, tokens + piece.tokens, piece.finish_reason)
    return [found[number] for number in sorted(found)]


SETTINGS = [
    {},
    {"top_k": 5, "temperature": 1.5},
    {"temperature": 0},
    {"repetition_penalty": 1.5, "dry_multiplier": 3.0, "min_tokens": 30, "stop": "ll"},
    {"mirostat_tau": 3.0, "stop": "e"},
    {"stop": ["e", "th"]},
    {"length_chars": 37, "stop_at": "sentence"},
    {"length": 0},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: "-".join(s) or "plain")
def test_a_text_is_the_same_alone_in_any_company_and_on_any_threads(model, settings, monkeypatch):
    settings = {"length": 90, "seed": 5, **settings}
    wanted = texts(model.pieces(PROMPTS, **settings))
    assert len(wanted) == len(PROMPTS)
    assert all(reason for _, _, reason in wanted)
    for rows, seconds, threads in ((1, 1e9, 2), (3, 0.0, 1), (3, 1e9, 3)):
        monkeypatch.setattr(textgru.generation.generate, "MOST_ROWS", rows)
        monkeypatch.setattr(textgru.generation.draws, "LONGEST_AT_A_TIME", seconds)
        set_num_threads(threads)
        assert texts(model.pieces(PROMPTS, **settings)) == wanted
    assert "".join(model.stream(PROMPTS[0], **settings)) == wanted[0][0]
    assert model.generate(PROMPTS, **settings) == [p + text for p, (text, _, _) in zip(PROMPTS, wanted, strict=True)]


def test_texts_of_one_seed_differ_and_are_prefixes_of_longer_ones(model):
    short, long = (texts(model.pieces(["The"] * 5, seed=2, length=n)) for n in (20, 60))
    assert len({text for text, _, _ in long}) == 5
    for (text, tokens, _), (more, more_tokens, _) in zip(short, long, strict=True):
        assert more.startswith(text)
        assert more_tokens[: len(tokens)] == tokens
    assert texts(model.pieces(["The"] * 2, seed=2, length=60)) == long[:2]


def test_a_generator_as_seed_is_where_the_first_text_ends(model):
    """And goes on to other texts at the next call."""
    following = []
    for many in (1, 4):
        rng = np.random.default_rng(3)
        first = texts(model.pieces(["The"] * many, seed=rng, length=25, stop="e"))
        following.append((first[0], rng.random()))
        assert texts(model.pieces(["The"] * many, seed=rng, length=25))[0] != first[0]
    assert following[0] == following[1]


@pytest.mark.parametrize("ways", ["pieces", "stream", "left early"])
def test_a_generator_as_seed_has_given_a_number_for_each_token(model, ways):
    model.network.output.parameters["bias"][model.tokenizer.eos_id] = -1e9
    rng, expected = np.random.default_rng(3), np.random.default_rng(3)
    if ways == "pieces":
        taken = len(texts(model.pieces(["The"], seed=rng, length=2000, stop=["e", "t"]))[0][1])
    else:
        stream, before = model.stream("The", seed=rng, length=2000, stop=["e", "t"]), model.prime("The")
        text = next(stream) if ways == "left early" else "".join(stream)
        taken = stream.state.drawn - before.drawn
        assert model.tokenizer.decode(list(stream.state.recent)).startswith("The" + text)
        del stream
    assert 0 < taken < 2000
    expected.random(taken)
    assert rng.random() == expected.random()


def test_prompts_may_come_without_end(model):
    pieces = model.pieces(repeat("The"), length=3, seed=1)
    assert len({next(pieces).number for _ in range(200)}) > 100
    pieces.close()
    assert list(pieces) == []


def test_reasons_to_end(model):
    model.network.output.parameters["bias"][model.tokenizer.eos_id] = 1e9
    model.repack()
    assert texts(model.pieces(["The"], seed=1)) == [("", [model.tokenizer.eos_id], "eos")]
    model.network.output.parameters["bias"][model.tokenizer.eos_id] = -1e9
    model.repack()
    assert texts(model.pieces(["The"], seed=1, length=9))[0][2] == "length"
    ((text, tokens, reason),) = texts(model.pieces(["The"], seed=1, stop="e"))
    assert reason == "stop"
    assert "e" in model.tokenizer.decode(tokens), "the tokens are all that were drawn"
    assert model.tokenizer.decode(tokens).startswith(text)
    third = texts(model.pieces(["The"], seed=1, length=9))[0][1][2]
    ((_, tokens, reason),) = texts(model.pieces(["The"], seed=1, stop_tokens=[third]))
    assert (tokens[-1], reason) == (third, "stop")


def test_stopped_from_outside_what_was_held_back_still_comes(model):
    """A stop string that begins with all that can be drawn holds back the end of the text."""
    model.network.output.parameters["bias"][model.tokenizer.eos_id] = -1e9
    letter = model.tokenizer.encode("o")[0]
    model.network.output.parameters["bias"][letter] = 1e9
    pieces = model.pieces(["The"] * 2, seed=1, length=50, stop="o" * 100)
    shown = next(pieces).text
    pieces.stop()
    assert shown == ""
    rest = list(pieces)
    assert {piece.number for piece in rest} == {0, 1}
    assert {piece.finish_reason for piece in rest} <= {None}
    assert "".join(piece.text for piece in rest if piece.number == 0) == "o" * 16


def test_the_state_of_the_first_text_goes_on_to_the_bit(model):
    model.network.output.parameters["bias"][model.tokenizer.eos_id] = -1e9
    whole = texts(model.pieces(["The ferry"], seed=4, length=60))[0][1]
    pieces = model.pieces(["The ferry"] * 3, seed=4, length=33)
    first = texts(pieces)[0][1]
    rest = texts(model.pieces([""], state=pieces.state, length=27))[0][1]
    assert first + rest == whole


@pytest.mark.parametrize("settings", [{}, {"stop": "never drawn"}, {"top_k": 5}], ids=["plain", "stop", "top-k"])
def test_memory_does_not_grow_with_the_text(model, settings, monkeypatch):
    monkeypatch.setattr(textgru.generation.draws, "LONGEST_AT_A_TIME", 0.0)
    model.network.output.parameters["bias"][model.tokenizer.eos_id] = -1e9
    tracemalloc.start()
    held = []
    for number, _ in enumerate(model.pieces(["The"] * 2, length=6_000, seed=1, **settings)):
        if number in (350, 700):  # of 750 pieces, 16 tokens each
            gc.collect()
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert held[1] < held[0] + 5_000


def test_prompts_are_no_string(model):
    with pytest.raises(InputError, match="prompts: expected several strings, got 'The'; give a list"):
        model.pieces("The")


def test_settings_that_are_not_known_are_named():
    with pytest.raises(TypeError, match="unexpected keyword argument 'lenght'"):
        Settings.of({"lenght": 3})
