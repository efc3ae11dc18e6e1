"""Where texts end."""

import random
import re

import pytest

from textgru.errors import InputError
from textgru.generation.stopping import Stopping


def read(stopping, pieces):
    """What is shown after each piece, and why it ended."""
    finder, shown = stopping.finder(), []
    for piece in pieces:
        shown.append(finder.feed(piece))
        if finder.finish_reason:
            break
    else:
        shown.append(finder.rest())
    return shown, finder.finish_reason


def test_a_stop_string_that_is_split_is_found_and_never_shown():
    shown, reason = read(Stopping(stop="END"), ["one ", "E", "N", "Done"])
    assert shown == ["one ", "", "", ""]
    assert reason == "stop"
    shown, reason = read(Stopping(stop="END"), ["one E", "N", "d", " EEN", "E"])
    assert shown == ["one ", "", "ENd", " EEN"[:2], "EN", "E"], "what turns out to be no end is shown"
    assert reason is None


def test_the_first_that_is_complete_ends_it():
    assert read(Stopping(stop=("abcdef", "cd")), list("xabcdef")) == (["x", "", "", "", "ab"], "stop")
    assert "".join(read(Stopping(stop=("bc", "abc")), ["xabcd"])[0]) == "x", "of two that end together the longer"
    assert "".join(read(Stopping(stop=("d", "b")), ["abcd"])[0]) == "a"


@pytest.mark.parametrize("seed", range(20))
def test_it_does_not_depend_on_how_the_text_is_cut(seed):
    """Held against a search in the whole text."""
    rng = random.Random(seed)
    text = "".join(rng.choices("ab\n.", k=60))
    stops = tuple("".join(rng.choices("ab\n", k=rng.randint(2, 6))) for _ in range(3))
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    wanted = text[: min(ends)[1]] if ends else text
    for _ in range(5):
        pieces, rest = [], text
        while rest:
            size = rng.randint(1, 9)
            pieces.append(rest[:size])
            rest = rest[size:]
        shown, reason = read(Stopping(stop=stops), pieces)
        assert "".join(shown) == wanted
        assert reason == ("stop" if ends else None)


def test_lines_and_sentences():
    assert read(Stopping(stop_at="line"), list("ab\ncd")) == (["a", "b", ""], "stop")
    for text, end in (
        ("It is 3.5 so. Then", "It is 3.5 so."),
        ('He said "no!" and', 'He said "no!"'),
        ("Wait... what", "Wait..."),
        ("他来了。她走", "他来了。"),
        ("「来。」她", "「来。」"),
        ("no end", "no end"),
    ):
        for pieces in ([text], list(text)):
            assert "".join(read(Stopping(stop_at="sentence"), pieces)[0]) == end


def test_a_regular_expression_is_shown():
    shown, reason = read(Stopping(stop_regex=r"\d{4},"), list("in 1234x and 1999, then"))
    assert "".join(shown) == "in 1234x and 1999,"
    assert reason == "stop"
    assert "".join(read(Stopping(stop_regex=r"^\w+:"), list("a\nROMEO: b: c"))[0]) == "a\nROMEO: b: c"
    assert "".join(read(Stopping(stop_regex=r"(?m)^\w+:"), list("a b:\nROMEO: x"))[0]) == "a b:\nROMEO:"
    assert "".join(read(Stopping(stop_regex="^b"), ["a", *"x" * 1200, "b" * 1200, "b"])[0]).endswith("b"), (
        "no new start"
    )


def test_characters_are_counted():
    assert read(Stopping(length_chars=5), ["abc", "def", "g"]) == (["abc", "de"], "length")
    assert read(Stopping(length_chars=3, stop="x"), ["ab", "cx"]) == (["ab", "c"], "stop")
    assert read(Stopping(length_chars=3, stop="xy"), ["ab", "x", "z"]) == (["ab", "", "x"], "length")
    assert Stopping(length_chars=3).tokens == 48
    assert Stopping(length_chars=3, length=7).tokens == 7
    assert Stopping().tokens == 500


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stop": ""}, "stop: expected strings of at least one character"),
        ({"stop": ["a", 1]}, "stop: expected strings"),
        ({"stop": 5}, "stop: expected strings"),
        ({"stop_at": "page"}, "stop_at: expected document, line or sentence, got 'page'"),
        ({"stop_regex": "("}, "stop_regex: no regular expression: missing )"),
        ({"stop_regex": "a*"}, "stop_regex: 'a*' is found in an empty text"),
        ({"stop_tokens": ["a"]}, "stop_tokens: expected ids of tokens"),
        ({"length_chars": -1}, "length_chars: expected an integer from 0"),
        ({"length": 1.5}, "length: expected an integer from 0"),
    ],
)
def test_what_cannot_be_is_named(settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        Stopping(**settings)
