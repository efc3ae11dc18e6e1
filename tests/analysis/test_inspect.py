"""What gates do along a text: arrays, features, the units that follow them, how long they remember; the page."""

import re
from html.parser import HTMLParser
from math import inf

import numpy as np
import pytest

from textgru.analysis import inspect as module
from textgru.analysis.inspect import Inspection, Unit, inspect
from textgru.analysis.inspect_features import features
from textgru.analysis.inspect_html import page
from textgru.errors import InputError
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

TEXT = 'Nell said: "Old TAM <b>& 12 tins</b>."\n\n    He (the [old] one) went.\nRope'


@pytest.mark.parametrize("kind", ["char", "byte"])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_the_arrays_are_the_networks_own(cell, kind):
    tokenizer = Tokenizer.train(kind, lambda: iter([TEXT]))
    network = Network(NetworkConfig(tokenizer.vocab_size, 8, 16, 2, cell=cell), seed=1)
    found = inspect(network, tokenizer, TEXT.replace("\n", "\r\n"))
    tokens = tokenizer.encode(TEXT)
    x = np.ascontiguousarray(network.embedding.parameters["weight"][tokens][:, None])
    y, _, gates = network.recurrent.forward(x, training=False, return_gates=True)
    np.testing.assert_array_equal(found.gates[1]["h"], y[:, 0])
    for got, wanted in zip(found.gates, gates, strict=True):
        assert got.keys() == wanted.keys()
        for name, array in wanted.items():
            np.testing.assert_array_equal(got[name], array[:, 0])
    assert "".join(found.pieces) == TEXT
    assert len(found.pieces) == len(tokens)


def test_a_character_of_several_tokens_has_its_features_when_it_is_whole():
    tokenizer = Tokenizer.train("byte", lambda: iter(["É"]))
    network = Network(NetworkConfig(tokenizer.vocab_size, 4, 4, 1), seed=1)
    found = inspect(network, tokenizer, "aÉ")
    assert found.pieces == ["a", "", "É"]
    assert found.features["capital"].tolist() == [0, 0, 1]


def digits(values):
    return "".join(str(int(value)) for value in values)


def test_features_are_what_is_seen():
    text = 'Ab 1"c D."\n\n  (e[f])X\nGHi'
    found = {name: digits(values) for name, values in features(text).items()}
    wanted = {
        "space or line end": "0010001000" + "1111" + "00000001" + "000",
        "line end": "0000000000" + "1100" + "00000001" + "000",
        "capital": "1000000100" + "0000" + "00000010" + "110",
        "digit": "0001000000" + "0000" + "00000000" + "000",
        "vowel": "1000000000" + "0000" + "01000000" + "001",
        "punctuation": "0000100011" + "0000" + "10101100" + "000",
        "place in the word": "1201010100" + "0000" + "01010010" + "123",
        "start of a word": "1001010100" + "0000" + "01010010" + "100",
        "inside quotes": "0000111110" + "0000" + "00000000" + "000",
        "depth of brackets": "0000000000" + "0000" + "11221000" + "000",
        "indentation": "0000000000" + "0022" + "22222222" + "000",
        "inside a word in capitals": "0000000000" + "0000" + "00000000" + "010",
    }
    for name, values in wanted.items():
        assert found[name] == values, name
    assert features(text)["place in the line"].tolist() == [*range(1, 11), 0, 0, *range(1, 10), 0, 1, 2, 3]
    assert features(text)["characters since a sentence's end"][8:11].tolist() == [0, 1, 2]
    assert features(text)["characters since an empty line"][10:14].tolist() == [11, 0, 1, 2]
    assert all(len(values) == 0 for values in features("").values())


def made(states, text, **gates):
    """An inspection with these states (T, H) of one layer."""
    h = np.asarray(states, np.float32)
    return Inspection(list(text), [{**gates, "h": h}], features(text))


LINES = "Ab cd Ef.\n" * 30


def test_the_units_that_follow_something_are_found():
    seen, noise = features(LINES), np.random.default_rng(1).standard_normal((len(LINES), 20))
    noise[:, 3] = -2 * seen["capital"] + 0.01 * noise[:, 3]
    noise[:, 11] = 0.1 * seen["place in the line"] + 0.01 * noise[:, 11]
    found = made(noise, LINES)
    telling = found.telling(50)
    units = {unit.unit: (unit.feature, round(unit.correlation, 1)) for unit in telling}
    assert units[3] == ("capital", -1.0)
    assert units[11] == ("place in the line", 1.0)
    assert {unit.unit for unit in telling[:2]} == {3, 11}
    assert [abs(unit.correlation) for unit in telling] == sorted((abs(u.correlation) for u in telling), reverse=True)
    assert len({unit.unit for unit in telling}) == len(telling)
    assert len(found.telling(1)) == 1
    assert found.describe(0, [11, 3])[1].feature == "capital"
    np.testing.assert_allclose(
        found.correlations(0)[1][found.correlations(0)[0].index("vowel"), 7],
        np.corrcoef(noise[:, 7].astype(np.float32), seen["vowel"])[0, 1],
        atol=1e-6,
    )


def test_what_hardly_varies_is_no_feature():
    names, correlations = made(np.ones((300, 4)), LINES).correlations(0)
    assert "digit" not in names
    assert "capital" in names
    assert not correlations.any()  # a constant unit follows nothing
    short = made(np.random.default_rng(1).standard_normal((9, 5)) * [1, 2, 9, 3, 4], LINES[:9])
    assert short.telling(2) == [Unit(0, unit, None, 0.0, short.memory(0)[unit]) for unit in (2, 4)]
    assert short.describe(0, [3])[0].feature is None


def test_memory_is_how_long_a_gate_keeps_a_state():
    keeping = np.tile(np.exp([-1.0, -0.01, 0.0]), (50, 1))
    keeping[::2, 0] = np.exp(-3)  # on average exp(-2) a token
    for gate in ("z", "f"):
        memory = made(np.zeros((50, 3)), LINES[:50], **{gate: keeping}).memory(0)
        np.testing.assert_allclose(memory, [0.5, 100, inf])
    rng, h = np.random.default_rng(1), np.zeros((20_000, 2))
    for t in range(1, len(h)):
        h[t, 0] = np.exp(-1 / 8) * h[t - 1, 0] + rng.standard_normal()
        h[t, 1] = -0.5 * h[t - 1, 1] + rng.standard_normal()
    memory = made(h, "a" * len(h)).memory(0)
    assert memory[0] == pytest.approx(8, rel=0.1)
    assert memory[1] == 0


def test_bad_values_are_named(monkeypatch):
    tokenizer = Tokenizer.train("char", lambda: iter([TEXT]))
    network = Network(NetworkConfig(tokenizer.vocab_size, 4, 4, 1), seed=1)
    monkeypatch.setattr(module, "MOST_TOKENS", 10)
    for text, count in (("", 0), ("a" * 11, 11)):
        with pytest.raises(InputError, match=f"text: expected 1 to 10 tokens, got {count}"):
            inspect(network, tokenizer, text)
    found = inspect(network, tokenizer, "Old")
    with pytest.raises(InputError, match="units: expected numbers from 0 to 3, got 4"):
        found.describe(0, [1, 4])
    with pytest.raises(InputError, match="layer: expected a number from 0 to 0, got 1"):
        found.describe(1, [0])
    with pytest.raises(InputError, match="layer: expected a number from 0 to 0, got -1"):
        found.telling(layer=-1)


class Page(HTMLParser):
    """The text of a page's coloured blocks, its tags, and what its tags refer to."""

    def __init__(self):
        super().__init__()
        self.blocks, self.tags, self.references, self._inside = [], [], [], False

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.references += [value for name, value in attributes if name in ("src", "href")]
        if ("class", "text") in attributes:
            self.blocks.append("")
            self._inside = True

    def handle_endtag(self, tag):
        if tag == "div":
            self._inside = False

    def handle_data(self, data):
        if self._inside:
            self.blocks[-1] += data


def test_the_page_has_the_text_and_nothing_from_elsewhere():
    tokenizer = Tokenizer.train("char", lambda: iter([TEXT]))
    network = Network(NetworkConfig(tokenizer.vocab_size, 8, 16, 1), seed=1)
    found = inspect(network, tokenizer, TEXT)
    html = page(found, found.describe(0, [2, 5]), title="<tales> & more")
    read = Page()
    read.feed(html)
    assert read.blocks == [TEXT.replace("\n", "↵\n")] * 8  # h, z, r, n of two units
    assert not {"script", "link", "img", "iframe", "b"} & set(read.tags)
    assert all(reference.startswith("#l0u") for reference in read.references)
    assert not re.search(r"https?:|@import|url\(", html)
    assert "<title>&lt;tales&gt; &amp; more</title>" in html
    assert "prefers-color-scheme: dark" in html
    read = Page()
    read.feed(page(found, found.describe(0, [2]), title="", show=5))
    assert set(read.blocks) == {TEXT[:5]}


def test_colours_are_the_values():
    states = np.array([[-1.0], [-0.5], [0.0], [0.06], [0.5], [1.0]])
    found = made(states, "abcdef", z=(states + 1) / 2)
    html = page(found, found.describe(0, [0]), title="t")
    blocks = re.findall('<div class="text">(.*?)</div>', html, re.DOTALL)
    read = [re.sub(r'<span class="(\w\w)">(\w+)</span>', r"\2=\1 ", block) for block in blocks]
    assert read == ["a=n8 b=n4 cde=p4 f=p8 ", "ab=g2 cd=g4 e=g6 f=g8 "]


def test_a_page_of_characters_that_no_page_can_have():
    found = made(np.zeros((4, 1)), "\x00\x1b\udc80é")
    html = page(found, found.describe(0, [0]), title="t")
    assert "\ufffd\ufffd?é" in html
    html.encode()
