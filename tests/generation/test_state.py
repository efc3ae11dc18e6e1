"""Where a generation stopped, in memory and in a file."""

import json

import numpy as np
import pytest

from tests.texts import MIXED, sentences
from textgru.errors import InputError
from textgru.generation.starts import RECENT, Start
from textgru.generation.stopping import Stopping
from textgru.generation.text import Text
from textgru.language_model import LanguageModel
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer


def made(kind="byte", seed=1, cell="gru"):
    tokenizer = Tokenizer.train(
        kind, lambda: [sentences(3000), MIXED], **({"vocab_size": 300} if kind == "bpe" else {})
    )
    return LanguageModel(Network(NetworkConfig(tokenizer.vocab_size, 8, 33, 2, cell=cell), seed=seed), tokenizer)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0}, {"repetition_penalty": 1.5, "dry_multiplier": 3.0}, {"mirostat_tau": 3.0}],
    ids=["plain", "greedy", "penalties", "mirostat"],
)
def test_a_text_goes_on_where_it_stopped(kind, cell, settings, tmp_path):
    """Anywhere, within a call and between characters: with the state, the random numbers and the bytes of a character
    that had begun."""
    model = made(kind, cell=cell)
    settings |= {"seed": 7, "length": 120}
    whole = "".join(model.stream("né", **settings))
    for characters in (0, 1, 16, 17, 40, 90):
        stream, text = model.stream("né", **settings), ""
        while len(text) < characters:
            text += next(stream)
        stream.state.save(tmp_path / "state")
        state = model.load_state(tmp_path / "state")
        assert state == stream.state
        rest = "".join(model.stream(state=state, **{**settings, "seed": None}))
        assert (text + rest)[: len(whole) - 1] == whole[:-1], "the last may be a character that was cut"


@pytest.mark.parametrize("kind", ["byte", "bpe"])
def test_a_character_that_had_begun_is_completed(kind):
    """Whatever tokens it was cut between, and however many there were before."""
    model = made(kind)
    tokens = model.tokenizer.encode("né 🙂 日本 " * 12).tolist()
    for cut in range(1, len(tokens)):
        before = model.tokenizer.decoder()
        shown = "".join(before.feed(token) for token in tokens[:cut])
        start = Start((), tokens[cut - 1], tuple(tokens[:cut][-RECENT:]))
        text = Text(0, start, np.random.default_rng(0), model.tokenizer, Stopping())
        text.row.drawn = tokens[cut:]
        assert shown + "".join(text.read()) == "né 🙂 日本 " * 12


def test_primed_states():
    model = made()
    state = model.prime("The ferry")
    assert "".join(model.stream(state=state, seed=1, length=30)) == "".join(
        model.stream("The ferry", seed=1, length=30)
    )
    assert model.prime("ferry", model.prime("The ")) == state
    assert model.prime("", state) == state
    assert "".join(model.stream(state=model.prime(), seed=1)) == "".join(model.stream(seed=1))
    assert "".join(model.stream(" was", state=state, seed=1)) == "".join(model.stream("The ferry was", seed=1))
    assert "".join(model.stream(state=state, seed=1)) == "".join(model.stream(state=state, seed=1)), "it stays as it is"
    samples = [piece.text for piece in model.pieces(["", " was"], state=state, seed=1, length=8)]
    assert samples[0] == "".join(model.stream("The ferry", seed=1, length=8))


def test_random_numbers_of_another_kind_are_not_kept():
    model = made()
    stream = model.stream("The", seed=np.random.Generator(np.random.MT19937(1)))
    next(stream)
    assert stream.state.random is None
    assert model.prime("The").random is None


def test_a_state_belongs_to_its_model(tmp_path):
    model, other = made(seed=1), made(seed=2)
    model.prime("The").save(tmp_path / "state")
    with pytest.raises(InputError, match="state: it belongs to another model"):
        other.load_state(tmp_path / "state")
    with pytest.raises(InputError, match="it belongs to another model"):
        other.stream(state=model.prime("The"))
    model.network.parameters.values[0] += 1
    model.repack()
    with pytest.raises(InputError, match="it belongs to another model"):
        model.load_state(tmp_path / "state")
    with pytest.raises(InputError, match="state: expected a State, got 'x'"):
        model.stream(state="x")


def test_damaged_files_are_refused_in_one_line(tmp_path):
    model, path = made(), tmp_path / "state"
    model.prime("The").save(path)
    good = path.read_bytes()
    line, _, session = good.partition(b"\n")
    header = json.loads(line)

    def changed(**values):
        return json.dumps({**header, **values}).encode() + b"\n" + session

    for bad in (
        b"", b"x", line, line + b"\n", good[:-1], good + b"x", line + b"\n" + session[:100], b"{}\n" + session,
        b"[" * 100_000, b'{"a": 1' + b" " * 70_000 + b"}\n", changed(token=999), changed(token=-1), changed(token="1"),
        changed(recent=[5000]), changed(version=2), changed(model=3), changed(random={"state": 1}),
        changed(random={"state": 2**200, "inc": 1, "has_uint32": 0, "uinteger": 0}), good.replace(b"F32", b"F64"),
        bytes([*good[:-5], good[-5] ^ 1, *good[-4:]]),
    ):  # fmt: skip
        path.write_bytes(bad)
        with pytest.raises(InputError) as error:
            model.load_state(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no such file"):
        model.load_state(tmp_path / "none")
    with pytest.raises(InputError, match="can't be read"):
        model.load_state(tmp_path)
