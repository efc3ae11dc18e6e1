"""Tokenizers from elsewhere: the ids of the tokenizers library, and texts that go on where the prompt ends."""

import json
from pathlib import Path

import numpy as np
import pytest
import tokenizers

import textgru.text.joined_windows
from tests.texts import MIXED, sentences
from textgru.errors import InputError
from textgru.generation.draws import draw_tokens
from textgru.generation.sampling import Sampling
from textgru.generation.stream import stream
from textgru.model.config import NetworkConfig
from textgru.model.network import Network
from textgru.text.tokenizer import Tokenizer

FOLDER = Path(__file__).parents[1] / "data" / "tokenizers"
GOLDEN = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))
FILES = {family: (FOLDER / f"{family}.json").read_text(encoding="utf-8") for family in GOLDEN}
every_family = pytest.mark.parametrize("family", FILES)
of_any_text = pytest.mark.parametrize("family", sorted(FILES.keys() - {"words_only"}))
LONG = {
    "english": sentences(9_000, seed=5) + MIXED + sentences(9_000, seed=6),
    "no blanks": sentences(12_000, seed=7).replace(" ", "").replace("\n", ""),
    "one letter": "a" * 9_000,
    "blanks": "x" + " " * 9_000 + "x",
    "lines": "\n" * 5_000 + "the" + "\n" * 5_000,
    "runs of blanks": ("ferry" + " " * 37) * 250,
    "unknown": "日本語、漢字。" * 1_500,
    "special": "<s> [SEP] </s><0x41> <|endoftext|>" * 300,
}


def load(family):
    return Tokenizer.from_json(FILES[family])


def library(family):
    """What the library makes of a whole text."""
    backend = tokenizers.Tokenizer.from_str(FILES[family])
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    if family == "suffixed":
        backend.model.dropout = None
    return backend


def changed(family, **parts):
    settings = json.loads(FILES[family])
    for part, value in parts.items():
        settings[part] = settings[part] | value if isinstance(value, dict) and settings[part] else value
    return json.dumps(settings)


@every_family
def test_golden_ids(family):
    tokenizer = load(family)
    for text, ids in GOLDEN[family]:
        assert tokenizer.encode(text).tolist() == ids
        assert [i for part in tokenizer.encode_blocks([text[:7], text[7:]]) for i in part] == ids


@every_family
def test_what_is_saved_gives_the_same_ids(family):
    saved = load(family).to_json()
    assert [Tokenizer.from_json(saved).encode(text).tolist() for text, _ in GOLDEN[family]] == [
        ids for _, ids in GOLDEN[family]
    ]
    settings = json.loads(saved)
    assert settings["truncation"] is settings["padding"] is None
    assert settings["model"].get("dropout") is None


@of_any_text
@pytest.mark.parametrize("text", LONG)
@pytest.mark.parametrize(("window", "overlap"), [(700, 200), (1500, 400)])
def test_a_long_text_in_windows_has_the_ids_of_the_whole(family, text, window, overlap, monkeypatch):
    monkeypatch.setattr(textgru.text.joined_windows, "WINDOW", window)
    monkeypatch.setattr(textgru.text.joined_windows, "OVERLAP", overlap)
    tokenizer, text = load(family), LONG[text]
    if tokenizer.kind == "bpe":
        text = text[:4000] + " " + text[4000:8000]  # its words have a greatest length
    expected = library(family).encode(text, add_special_tokens=False).ids
    assert tokenizer.encode(text).tolist() == expected
    for size in (997, 5000):
        blocks = [text[i : i + size] for i in range(0, len(text), size)]
        assert [i for part in tokenizer.encode_blocks(blocks) for i in part] == expected


def test_windows_as_large_as_they_are_have_the_ids_of_the_whole():
    text = sentences(300_000)
    for family in ("llama", "unigram", "bert"):
        expected = library(family).encode(text, add_special_tokens=False).ids
        assert load(family).encode(text).tolist() == expected


def test_an_unknown_token_without_end_loses_no_text(monkeypatch):
    """A word that is longer than any window is unknown as a whole; what follows it is there."""
    monkeypatch.setattr(textgru.text.joined_windows, "WINDOW", 100)
    monkeypatch.setattr(textgru.text.joined_windows, "OVERLAP", 40)
    tokenizer = load("bert")
    ids = tokenizer.encode("the ferry " + "x" * 5_000 + " the river").tolist()
    ferry = tokenizer.encode("the ferry").tolist()
    assert ids[: len(ferry)] == ferry
    assert set(ids[len(ferry) : -2]) == {tokenizer.unk_id}
    assert ids[-2:] == tokenizer.encode("the river").tolist()


def test_a_mark_before_the_text_comes_once():
    tokenizer, text = load("llama"), "ab" * 200_000
    assert tokenizer.decode(tokenizer.encode(text)) == text
    text = sentences(400_000)
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("family", ["gpt2", "roberta", "qwen", "llama"])
def test_round_trip(family):
    tokenizer = load(family)
    for text in (sentences(3_000), "a  b\n\nc\t", "<s> </s> <0x41> <|endoftext|>", "日本語 🙂"):
        decoded = tokenizer.decode(tokenizer.encode(text))
        assert decoded.removeprefix(" ") == text if family == "roberta" else decoded == text


@every_family
def test_the_text_after_a_prompt_is_what_both_decode_to_without_the_prompt(family):
    tokenizer = load(family)
    text = "the ferry crossed river and light"
    if family != "words_only":
        text = f"The ferry crossed the river. Old, {text}\n naïve café 日本 [SEP] end."
    ids = tokenizer.encode(text)
    for cut in range(1, len(ids)):
        before = tokenizer.decode(ids[:cut])
        decoder = tokenizer.decoder(ids[:cut])
        after = "".join(decoder.feed(int(i)) for i in ids[cut:])
        if not before.endswith("\ufffd"):
            assert before + after == tokenizer.decode(ids)


@pytest.mark.parametrize(
    ("family", "expected"),
    [("gpt2", " river"), ("qwen", " river"), ("bert", " river"), ("unigram", " river"), ("llama", " river"),
     ("words", " river"), ("words_only", " river")],
)  # fmt: skip
def test_the_first_new_word_keeps_its_blank(family, expected):
    tokenizer = load(family)
    prompt, both = tokenizer.encode("the ferry"), tokenizer.encode("the ferry river")
    assert both[: len(prompt)].tolist() == prompt.tolist()
    decoder = tokenizer.decoder(prompt)
    assert "".join(decoder.feed(int(i)) for i in both[len(prompt) :]) == expected


@pytest.mark.parametrize("family", sorted(FILES.keys() - {"words_only", "llama"}))
def test_a_generated_text_is_that_of_its_tokens(family):
    tokenizer = load(family)
    packed = Network(NetworkConfig(tokenizer.vocab_size, 8, 8, 1), seed=3).pack()
    prompt = tokenizer.encode("The ferry")
    rng = [np.random.default_rng(0) for _ in range(2)]
    drawn = list(draw_tokens(packed, prompt, 200, Sampling(1.0), rng[0], never=tokenizer.unk_id))
    if tokenizer.eos_id in drawn:
        drawn = drawn[: drawn.index(tokenizer.eos_id)]
    got = "".join(stream(packed, tokenizer, "The ferry", 200, Sampling(1.0), rng[1]))
    whole = tokenizer.decode([*prompt.tolist(), *drawn])
    assert tokenizer.unk_id not in drawn
    assert (tokenizer.decode(prompt) + got).rstrip("\ufffd") == whole.rstrip("\ufffd")


def test_bytes_come_when_their_character_is_whole():
    tokenizer = load("llama")
    decoder = tokenizer.decoder(tokenizer.encode("the"))
    pieces = [decoder.feed(int(i)) for i in tokenizer.encode("日本" * 30)]
    assert "".join(pieces) == " " + "日本" * 30
    assert {len(piece) for piece in pieces} == {0, 1}


def test_special_bytes_that_make_no_character_are_left_out_and_the_others_are_text():
    settings = json.loads(FILES["llama"])
    like = settings["added_tokens"][0]
    for name in (f"<0x{byte:02X}>" for byte in range(256)):
        settings["added_tokens"].append({**like, "content": name, "id": settings["model"]["vocab"][name]})
    tokenizer = Tokenizer.from_json(json.dumps(settings))
    ids = tokenizer.encode("the\n日 <0x41>").tolist()
    assert tokenizer.decode(ids) == "the\n日 <0x41>"
    broken = settings["model"]["vocab"]["<0xE6>"]
    assert tokenizer.decode([*ids, broken, *ids[1:3]]) == "the\n日 <0x41>" + tokenizer.decode(ids)[3:4]


def test_special_tokens_in_a_text_are_text():
    for family, text in (("llama", "a<s>b</s>"), ("qwen", "<|begin_of_text|><|endoftext|>"), ("gpt2", "<|endoftext|>")):
        tokenizer = load(family)
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
        assert tokenizer.eos_id is None or tokenizer.eos_id not in ids
    assert load("llama").decode([1, 2]) == "<s></s>", "and drawn ones are seen"


def test_truncation_and_padding_of_the_file_are_off():
    tokenizer = load("bert")
    assert json.loads(FILES["bert"])["truncation"]["max_length"] == 16
    assert len(tokenizer.encode("the ferry " * 500)) == 1000
    assert tokenizer.encode("the").size == 1


def test_dropout_is_off():
    tokenizer = load("suffixed")
    assert json.loads(FILES["suffixed"])["model"]["dropout"] == 0.5
    assert len({tuple(tokenizer.encode(sentences(500))) for _ in range(5)}) == 1


@pytest.mark.parametrize(
    ("family", "token"),
    [("unigram", "<unk>"), ("bert", "[UNK]"), ("llama", "<unk>"), ("words", "[UNK]"), ("suffixed", "<unk>"),
     ("gpt2", None), ("qwen", None), ("words_only", None)],
)  # fmt: skip
def test_the_unknown_token(family, token):
    tokenizer = load(family)
    assert tokenizer.unk_id == (None if token is None else tokenizer.backend.token_to_id(token))


def test_what_is_unknown_is_named():
    assert load("words").unknown_characters("the ferry zebra, the yak zebra") == ["zebra", ",", "yak"]
    assert load("unigram").unknown_characters("the 漢字 ferry 漢字") == ["漢字"]
    assert load("bert").unknown_characters("the ferry") == []
    assert load("gpt2").unknown_characters("漢") == []


def test_without_an_unknown_token_what_is_unknown_is_an_error_that_names_it():
    tokenizer = load("words_only")
    long = "the ferry crossed river " * 20_000
    assert len(tokenizer.encode(long)) == 80_000, "no word is cut where windows are"
    for text in ("the ferry flows", long + "flows " + long):
        with pytest.raises(InputError, match="no token for 'flows'.* unk_token"):
            tokenizer.encode(text)
    with pytest.raises(InputError, match="no token for 'flows'"):
        list(tokenizer.encode_blocks(["the flo", "ws river"]))
    unigram = json.loads(FILES["unigram"])
    unigram["model"]["unk_id"] = None
    with pytest.raises(InputError, match=r"no token for '\\u6f22'"):
        Tokenizer.from_json(json.dumps(unigram)).encode("the 漢 ferry")


def test_a_bpe_that_would_leave_out_what_it_does_not_know_says_so():
    backend = tokenizers.Tokenizer(tokenizers.models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    tokenizer = Tokenizer.from_json(backend.to_str())
    assert tokenizer.encode("ab a\nb").tolist() == [2, 0, 1]
    with pytest.raises(InputError, match="no token for 'z'"):
        tokenizer.encode("ab abz")


def test_gpt2_s_own_file_is_byte_level_bpe():
    assert load("gpt2").kind == "bpe"
    assert "use_regex" not in json.loads(FILES["gpt2"])["pre_tokenizer"]
    without_type = json.loads(FILES["gpt2"])
    del without_type["model"]["type"]
    assert Tokenizer.from_json(json.dumps(without_type)).kind == "bpe"
    assert [load(family).kind for family in ("roberta", "qwen", "llama")] == ["custom"] * 3
    assert Tokenizer.from_json(changed("gpt2", pre_tokenizer={"use_regex": False})).kind == "bpe"


def test_an_unknown_token_that_also_ends_documents_is_no_unknown_token():
    settings = json.loads(FILES["gpt2"])
    settings["model"]["unk_token"] = "<|endoftext|>"
    settings["model"]["vocab"]["<|endoftext|>"] = len(settings["model"]["vocab"])
    tokenizer = Tokenizer.from_json(json.dumps(settings))
    assert tokenizer.unk_id is None
    assert tokenizer.eos_id is not None


def test_a_character_tokenizer_without_an_unknown_token_is_not_read_as_ours():
    """Ours gives id 0 to what it doesn't know."""
    settings = json.loads(Tokenizer.train("char", lambda: ["abc"]).to_json())
    settings["model"] |= {"vocab": {"a": 0, "b": 1}}
    tokenizer = Tokenizer.from_json(json.dumps(settings))
    assert tokenizer.encode("abba").tolist() == [0, 1, 1, 0]
    with pytest.raises(InputError, match="no token for 'c'"):
        tokenizer.encode("abc")
