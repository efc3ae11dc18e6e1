"""Texts that match a regular expression, a grammar or a JSON schema."""

import json
import re
import sys

import pytest

from tests.texts import sentences
from textgru.errors import InputError
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

DATE = r"[12]\d{3}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Z][a-z]{2,9}$"},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "colours": {"type": "array", "items": {"enum": ["red", "blue"]}, "minItems": 1, "maxItems": 3},
    },
    "required": ["name", "age", "colours"],
    "additionalProperties": False,
}
WRITTEN = '{"name":"Zoë","age":12}[] ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789-'
CONTROLS = {
    "plain": {},
    "greedy": {"temperature": 0},
    "top-k": {"top_k": 3, "temperature": 1.5},
    "all": {"top_p": 0.9, "min_p": 0.05, "top_n_sigma": 2, "repetition_penalty": 1.3, "dry_multiplier": 2},
    "mirostat": {"mirostat_tau": 3, "presence_penalty": 0.5, "min_tokens": 4},
}


@pytest.fixture(params=["char", "byte", "bpe"], scope="module")
def model(request):
    """Not trained."""
    settings = {"vocab_size": 300} if request.param == "bpe" else {}
    tokenizer = Tokenizer.train(request.param, lambda: [WRITTEN, *sentences(3000)], eos=True, **settings)
    return LanguageModel(Network(NetworkConfig(tokenizer.vocab_size, 8, 33), seed=1), tokenizer)


def model_of(text, kind="char"):
    """One without an end of documents."""
    tokenizer = Tokenizer.train(kind, lambda: [text])
    return LanguageModel(Network(NetworkConfig(tokenizer.vocab_size, 8, 9), seed=1), tokenizer)


def texts(model, count, **settings):
    """The new text of each, and why it ended."""
    found = {}
    for piece in model.pieces(["The ferry"] * count, seed=3, **settings):
        text, _ = found.get(piece.number, ("", None))
        found[piece.number] = text + piece.text, piece.finish_reason
    return [found[number] for number in range(count)]


@pytest.mark.parametrize("controls", CONTROLS.values(), ids=CONTROLS)
def test_all_dates_are_dates(model, controls):
    found = texts(model, 50, regex=DATE, **controls)
    assert all(re.fullmatch(DATE, text) and reason == "stop" for text, reason in found)
    if controls.get("temperature") != 0:
        assert len(set(found)) > 25


@pytest.mark.parametrize("controls", CONTROLS.values(), ids=CONTROLS)
def test_all_objects_follow_the_schema(model, controls):
    for text, reason in texts(model, 50, json_schema=json.dumps(SCHEMA), **controls):
        assert reason == "stop"
        found = json.loads(text)
        assert found.keys() == {"name", "age", "colours"}
        assert re.fullmatch("[A-Z][a-z]{2,9}", found["name"])
        assert 0 <= found["age"] <= 120
        assert 1 <= len(found["colours"]) <= 3
        assert {*found["colours"]} <= {"red", "blue"}


def test_a_grammar_in_lark(model):
    grammar = 'start: sum\nsum: NUMBER | NUMBER "-" sum\nNUMBER: /[1-9][0-9]?/\n'
    for text, reason in texts(model, 20, grammar=grammar):
        assert reason == "stop"
        assert re.fullmatch(r"[1-9]\d?(-[1-9]\d?)*", text)


def test_a_text_is_the_same_alone_streamed_and_among_others(model):
    settings = {"regex": "[a-e]{2,30}x?", "temperature": 1.5}
    together = [text for text, _ in texts(model, 5, **settings)]
    stream = model.stream("The ferry", seed=3, **settings)
    assert "".join(stream) == together[0]
    assert stream.finish_reason == "stop"
    assert model.generate(["The ferry"] * 3, seed=3, **settings) == ["The ferry" + text for text in together[:3]]
    assert len(set(together)) == 5


def test_it_ends_where_the_model_would_go_on_with_something_else():
    model = model_of("ab")
    b = model.tokenizer.encode("b")[0]
    model.network.output.parameters["weight"][:] = 0
    ends = {}
    for bias in (-20, 20):  # of what doesn't match
        model.network.output.parameters["bias"][b] = bias
        model.repack()
        ends[bias] = texts(model, 1, regex="a+", length=30)[0]
    assert ends == {-20: ("a" * 30, "length"), 20: ("a", "stop")}
    assert texts(model, 1, regex="a+", length=30, min_tokens=7) == [("a" * 7, "stop")]
    assert texts(model, 1, regex="a*") == [("", "stop")]


def test_no_way_that_the_vocabulary_cannot_end_is_taken():
    found = texts(model_of("abcd"), 50, regex="a(b[0-9]|c)d", temperature=5)
    assert {*found} == {("acd", "stop")}


@pytest.mark.parametrize(
    "settings",
    [
        {"regex": "abc\\d"},
        {"regex": "x"},
        {"grammar": 'start: "a" DIGIT\nDIGIT: /[0-9]/'},
        {"json_schema": '{"type": "integer"}'},
        {"json_schema": json.dumps(SCHEMA)},
        {"regex": "abc", "banned": [2]},
    ],
    ids=str,
)
def test_what_the_vocabulary_cannot_meet_is_said_at_once(settings):
    model = model_of("abc")
    assert model.tokenizer.decode([2]) == "b"
    name = next(iter(settings))
    for begin in (model.stream, lambda **more: model.pieces(["a"], **more)):
        with pytest.raises(InputError, match=f"{name}: the model has no token for what must come"):
            begin(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"regex": "("}, "regex: unclosed group"),
        ({"regex": "a(?=b)"}, "regex: look-around"),
        ({"grammar": "nothing"}, "grammar: "),
        ({"json_schema": "[1"}, "json_schema: no JSON schema: EOF"),
        ({"json_schema": '{"type": "thing"}'}, "json_schema: Invalid type: thing"),
        ({"regex": "a", "grammar": "start: /a/"}, "regex and grammar: give one of them"),
        ({"regex": 3}, "regex: expected"),
        ({"regex": "a\udcff"}, "regex: has characters that are none"),
    ],
    ids=str,
)
def test_what_is_no_constraint_is_said_in_one_line(model, settings, message):
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        model.generate(**settings)
    assert "\n" not in str(caught.value)


def test_where_it_stands_cannot_be_kept(model):
    pieces, stream = model.pieces(["a"], regex="abcd"), model.stream(regex="abcd")
    next(pieces), next(stream)
    for source in (pieces, stream):
        with pytest.raises(InputError, match="state: where a text stands in a regex"):
            _ = source.state
    state = model.prime("The ")
    assert "".join(model.stream(state=state, regex="abcd")) == "abcd"


def test_without_llguidance_one_line_names_the_extra(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(InputError, match=r"pip install 'textgru\[grammar\]'"):
        model.generate(regex="a")
    assert model.generate(length=3, seed=1), "it isn't needed otherwise"
