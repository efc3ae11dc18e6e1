"""Text to ids and back, for every kind of tokenizer."""

import json
import random

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

import textgru.text.bpe_sample
import textgru.text.word_encoder
from tests.texts import MIXED, sentences
from textgru.errors import InputError
from textgru.text.tokenizer import Tokenizer

TEXT = sentences(20_000) + MIXED
any_text = st.text(st.characters(exclude_categories=["Cs"]))


def train(kind, text=TEXT, **options):
    return Tokenizer.train(kind, lambda: [text], **options)


BYTE, BPE, CHAR = train("byte"), train("bpe", vocab_size=400), train("char")
ALL = {"byte": BYTE, "bpe": BPE, "char": CHAR}
every_kind = pytest.mark.parametrize("kind", ALL)


@settings(max_examples=200)
@given(any_text)
def test_byte_and_bpe_round_trip_on_any_text(text):
    for tokenizer in (BYTE, BPE):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=100)
@given(st.text(st.sampled_from(sorted(set(TEXT)))))
def test_char_round_trips_on_its_alphabet(text):
    assert CHAR.decode(CHAR.encode(text)) == text


@every_kind
@pytest.mark.parametrize("text", ["", "a", MIXED, TEXT], ids=["empty", "one", "mixed", "long"])
def test_the_saved_file_gives_the_same_ids_in_the_tokenizers_library(kind, text):
    """What transformers would do with tokenizer.json."""
    library = tokenizers.Tokenizer.from_str(ALL[kind].to_json())
    ids = ALL[kind].encode(text)
    assert library.encode(text, add_special_tokens=False).ids == ids.tolist()
    assert library.decode(ids.tolist()) == text
    assert ids.dtype == np.intp


@every_kind
def test_saving_and_loading(kind, tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(ALL[kind].to_json(), encoding="utf-8")
    loaded = Tokenizer.load(file)
    assert type(loaded) is type(ALL[kind])
    assert loaded.vocab_size == ALL[kind].vocab_size
    np.testing.assert_array_equal(loaded.encode(TEXT), ALL[kind].encode(TEXT))


@every_kind
def test_the_stream_decoder_gives_whole_characters_only(kind):
    tokenizer = ALL[kind]
    decoder = tokenizer.decoder()
    pieces = [decoder.feed(int(token)) for token in tokenizer.encode(MIXED)]
    assert "".join(pieces) == MIXED
    assert "\ufffd" not in "".join(pieces)


def test_a_character_of_several_tokens_comes_when_it_is_whole():
    decoder = BYTE.decoder()
    assert [decoder.feed(byte) for byte in "é🙂".encode()] == ["", "é", "", "", "", "🙂"]


@every_kind
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_blocks_give_the_same_ids_as_one_text(kind, size, monkeypatch):
    monkeypatch.setattr(textgru.text.word_encoder, "PIECE", 50)
    blocks = [TEXT[i : i + size] for i in range(0, len(TEXT), size)]
    got = np.concatenate(list(ALL[kind].encode_blocks(blocks)))
    np.testing.assert_array_equal(got, ALL[kind].encode(TEXT))
    assert got.tolist() == ALL[kind].backend.encode(TEXT).ids


def test_blocks_without_any_space_are_cut_all_the_same(monkeypatch):
    monkeypatch.setattr(textgru.text.word_encoder, "PIECE", 50)
    text = "x" * 10_000
    ids = np.concatenate(list(BPE.encode_blocks([text])))
    assert BPE.decode(ids) == text


ENDLESS = {
    "random letters": "".join(random.Random(0).choices("ACGT", k=50_000)),
    "one letter": "a" * 50_000,
    "blanks": " " * 50_000,
    "lines": "\n" * 50_000,
    "blanks and a letter": " " * 9_000 + "x" * 9_000 + " " * 9_000,
    "no script with blanks": "日本語漢字。" * 5_000,
    "of all sorts": (MIXED * 5).replace(" ", "") + "x" * 5_000 + MIXED,
}


@pytest.mark.parametrize("kind", ["bpe", "byte"])
@pytest.mark.parametrize("text", ENDLESS)
def test_a_text_without_blanks_has_the_same_ids_however_it_comes(kind, text):
    text = ENDLESS[text]
    ids = ALL[kind].encode(text)
    for size in (1013, 4096, 30_000):
        blocks = [text[i : i + size] for i in range(0, len(text), size)]
        assert np.concatenate(list(ALL[kind].encode_blocks(blocks))).tolist() == ids.tolist()
    assert ALL[kind].decode(ids) == text


@pytest.mark.parametrize("text", ENDLESS)
def test_no_word_that_a_vocabulary_is_learned_from_is_long(text):
    """Learning takes the square of a word's length."""
    text = ENDLESS[text]
    pieces = list(textgru.text.bpe_sample.limit_words(textgru.text.word_encoder.word_pieces([text])))
    assert "".join(pieces) == text
    learned_from = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = [word for piece in pieces for word, _ in learned_from.pre_tokenize_str(piece)]
    assert max(map(len, words)) <= 3 * textgru.text.word_encoder.LONGEST_WORD, "characters of three bytes"
    tokenizer = Tokenizer.train("bpe", lambda: [text], vocab_size=300)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_words_of_ordinary_length_are_not_cut():
    longest = textgru.text.word_encoder.LONGEST_WORD
    for text in ("x" * longest, "the " + "漢" * longest + " end", " " * longest + "x" * longest):
        got = np.concatenate(list(BPE.encode_blocks([text + "\n" + "the river " * 1000])))
        assert got.tolist() == BPE.backend.encode(text + "\n" + "the river " * 1000).ids


def test_learning_is_told_of_when_the_text_is_read():
    read, told = [], []

    def blocks():
        yield from ENDLESS["random letters"]
        read.append(True)

    train_ = Tokenizer.train("bpe", blocks, vocab_size=1000, on_learning=lambda: told.append(len(read)))
    assert train_.vocab_size == 1000
    assert set(told) <= {2}, "the blocks are read twice: to count and to learn"


@every_kind
def test_count_characters(kind):
    assert ALL[kind].count_characters(ALL[kind].encode(TEXT)) == len(TEXT)


def test_characters_never_seen_become_the_unknown_token():
    assert CHAR.unk_id == 0
    assert CHAR.encode("aЖa").tolist()[1] == 0
    assert CHAR.unknown_characters("aЖ漢aЖ") == ["Ж", "漢"]
    assert CHAR.unknown_characters("ferry") == []
    assert CHAR.decode(CHAR.encode("aЖa")) == "a\ufffda"
    assert BPE.unknown_characters("Ж") == BYTE.unknown_characters("Ж") == []


@every_kind
def test_half_a_surrogate_pair_does_no_harm(kind):
    """What Python makes of a byte on the command line that is no UTF-8."""
    assert ALL[kind].encode("a\udcffb").size >= 3


def test_vocabulary_sizes():
    assert CHAR.vocab_size == len(set(TEXT)) + 1
    assert BYTE.vocab_size == 256
    assert BYTE.encode("é").tolist() == list("é".encode())
    assert train("bpe", vocab_size=300).vocab_size == 300
    assert BPE.vocab_size <= 400, "no more than there is to merge"
    assert train("bpe").vocab_size <= 1024
    assert len(BPE.encode(TEXT)) < len(TEXT) / 2, "words of the corpus are single tokens"


def custom_json():
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "the": 1, "river": 2}, unk_token="[UNK]"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return backend.to_str()


def test_any_other_tokenizer_json(tmp_path):
    file = tmp_path / "words.json"
    file.write_text(custom_json())
    tokenizer = Tokenizer.load(file)
    assert tokenizer.kind == "custom"
    assert tokenizer.vocab_size == 3
    assert tokenizer.unk_id == 0
    assert tokenizer.encode("the river flows").tolist() == [1, 2, 0]
    decoder = tokenizer.decoder()
    assert "".join(decoder.feed(i) for i in (1, 2)) == tokenizer.decode([1, 2]) == "the river"
    assert tokenizer.count_characters(np.array([1, 2])) == 9


def test_a_byte_level_tokenizer_from_elsewhere_counts_as_bpe():
    settings_ = json.loads(BPE.to_json())
    settings_["decoder"]["add_prefix_space"] = False
    assert Tokenizer.from_json(json.dumps(settings_)).kind == "bpe"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"version": "1.0"}', "\x00" * 10])
def test_a_damaged_file_is_named(content, tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(content)
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        Tokenizer.load(file)


@pytest.mark.parametrize("value", [10**12, 2**64 - 1, 2**20 + 1, 10**400, True, 300.0, "300", float("nan"), -1, 0])
def test_a_vocabulary_size_that_can_t_be(value):
    with pytest.raises(InputError, match="vocab_size: expected") as caught:
        train("bpe", vocab_size=value)
    assert len(str(caught.value)) < 120


def test_bad_settings_are_named(tmp_path):
    with pytest.raises(InputError, match="expected one of char, byte, bpe .* got 'word'"):
        train("word")
    with pytest.raises(InputError, match="vocab_size: expected at least 256 .* got 255"):
        train("bpe", vocab_size=255)
    with pytest.raises(InputError, match="vocab_size: only the bpe tokenizer"):
        train("char", vocab_size=300)
    with pytest.raises(InputError, match="none.json: can't be read"):
        Tokenizer.load(tmp_path / "none.json")


def test_a_long_text_is_sampled_evenly_for_a_bpe_vocabulary(monkeypatch):
    """Words of the beginning, the middle and the end all become tokens; and it is the same every time."""
    monkeypatch.setattr(textgru.text.bpe_sample, "SAMPLE", 6000)
    parts = ["alpha " * 100] * 20 + ["middle " * 100] * 20 + ["omega " * 100] * 20
    read = []

    def blocks():
        for part in parts:
            read.append(len(part))
            yield part

    tokenizer = Tokenizer.train("bpe", blocks, vocab_size=400)
    taken = list(textgru.text.bpe_sample.sample(blocks))
    assert 6000 <= sum(map(len, taken)) <= 6700
    assert {" alpha", " middle", " omega"} <= {tokenizer.decode([i]) for i in range(tokenizer.vocab_size)}
    assert Tokenizer.train("bpe", blocks, vocab_size=400).to_json() == tokenizer.to_json()


def test_words_are_the_library_s_whatever_stands_between_them():
    """The four characters that only Python takes for white space, no-break spaces, runs of all sorts, long words."""
    odd = "a!\x1c\x1c!b \x1d c\xa0 \xa0d \u3000e\u2028\n\x85 f'll  're x\t\t\ty " + "z" * 100 + " " + "z" * 100
    tokenizer = train("bpe", TEXT + odd * 50, vocab_size=600)
    for text in (odd, odd * 3, "  " + odd, odd + "\n\n ", " ", "\n"):
        got = np.concatenate(list(tokenizer.encode_blocks([text])))
        assert got.tolist() == tokenizer.backend.encode(text).ids


@settings(max_examples=200)
@given(st.lists(any_text))
def test_bpe_of_blocks_is_that_of_the_whole(blocks):
    got = [int(i) for ids in BPE.encode_blocks(blocks) for i in ids]
    assert got == BPE.backend.encode("".join(blocks)).ids


def test_a_text_without_spaces_has_few_enough_different_words():
    """Half of them from its beginning, the others from all over it; what comes again always counts."""
    pieces = [f"{i:05}" * 20 + " again" for i in range(1000)]
    kept = list(textgru.text.bpe_sample.limit_words(pieces, limit=20_000, expected=sum(map(len, pieces))))
    words = [i for i, piece in enumerate(kept) if len(piece) > 6]
    assert 180 <= len(words) <= 220
    assert words[:95] == list(range(95))
    assert words[-1] > 980
    assert all(piece.endswith(" again") for piece in kept)
    assert list(textgru.text.bpe_sample.limit_words(pieces)) == pieces


@pytest.mark.parametrize("kind", ["char", "byte", "bpe"])
def test_what_is_no_text_and_no_ids_is_named(kind):
    tokenizer = Tokenizer.train(kind, lambda: ["abc"])
    for text in (None, 1, b"x", ["a"]):
        with pytest.raises(TypeError, match="text: expected a str"):
            tokenizer.encode(text)
    for tokens in ([10**9], [-1]):
        with pytest.raises(IndexError, match="tokens: expected ids from 0 to"):
            tokenizer.decode(tokens)
    for tokens in (b"x", 1.5, ["a"], [0.5], None):
        with pytest.raises(TypeError, match="tokens: expected a sequence of integers"):
            tokenizer.decode(tokens)
    with pytest.raises(TypeError, match="blocks: expected a function"):
        Tokenizer.train(kind, ["abc"])
    with pytest.raises(TypeError, match="text: expected a str"):
        Tokenizer.from_json(None)
    with pytest.raises(InputError, match="tokenizer: expected a path"):
        Tokenizer.load(None)
