"""Files that are no tokenizer.json, or one that would take the memory or the process."""

import json
import os
import random

import pytest

import textgru.text.tokenizer_file
from tests.text.test_custom_tokenizer import FILES
from textgru.errors import InputError
from textgru.text.tokenizer import Tokenizer


def with_vocabulary(vocabulary, **model):
    return json.dumps({"version": "1.0", "model": {"type": "BPE", "vocab": vocabulary, "merges": [], **model}})


def nested(depth, part="normalizer", item="normalizers"):
    inner = {"type": "NFC"}
    for _ in range(depth):
        inner = {"type": "Sequence", item: [inner]}
    return json.dumps({"version": "1.0", part: inner, "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_vocabulary({"a": 0, "b": 10**8}), "ids go up to 1,048,575 here, .* 100,000,000"),
        (with_vocabulary({"a": 0, "b": 10**9}), "1,000,000,000"),
        (with_vocabulary({"a": 0, "b": 2**32}), "4,294,967,296"),
        (with_vocabulary({"a": 0, "b": 1_000_000}), "1,000,000 is too high for 2 tokens"),
        (with_vocabulary({"a": -1}), "expected an id of 0 or more for 'a', got -1"),
        (with_vocabulary({"a": 1.5}), "got 1.5"),
        (with_vocabulary({"a": True}), "got true"),
        (with_vocabulary({"a": None}), "got null"),
        (with_vocabulary({"a": "0"}), 'got "0"'),
        (with_vocabulary({"a": {"b": 1}}), "'a', got "),
        (with_vocabulary({"a": 1, "b": 1}), "the same id"),
        (with_vocabulary({}), "empty"),
        (with_vocabulary([["a", 0]]), "tokenizers library"),
        (with_vocabulary("abc"), "tokenizers library"),
        (with_vocabulary({"a": 0, "b": 1, "ab": 2}, merges=["a b"], continuing_subword_prefix="##"), "'##'.*: 'b'"),
        (with_vocabulary({"a": 0, "\ud800": 1}), "not a tokenizer.json"),
        (with_vocabulary({"a": 0}, dropout=7), "not a tokenizer.json"),
        ('{"model": {"type": "BPE", "vocab": {"a": 0, "a": 1}, "merges": []}}', "'a' stands twice"),
        ('{"model": {"type": "BPE", "vocab": {"a": ' + "9" * 5000 + '}, "merges": []}}', "not a tokenizer.json"),
        ('{"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", NaN]]}}', "not a tokenizer.json"),
        ('{"model": {"type": "Unigram", "unk_id": 7, "vocab": [["a", 0.5]]}}', "not a tokenizer.json"),
        ('{"model": {"type": "WordPiece", "vocab": {"a": 0}, "max_input_chars_per_word": 5000}}', "at most 1,000"),
        ('{"model": {"type": "What"}}', "not a tokenizer.json"),
        ('{"model": [1]}', 'expected an object with a "model"'),
        ('"model"', 'expected an object with a "model"'),
        ("", "not a tokenizer.json"),
        ("\ufeff", "not a tokenizer.json"),
        ("[" * 100_000, "nested too deeply"),
        (nested(70), "nested too deeply"),
        (nested(70, "pre_tokenizer", "pretokenizers"), "nested too deeply"),
    ],
)
def test_what_can_t_be_used_is_one_line(text, message):
    with pytest.raises(InputError, match=message) as caught:
        Tokenizer.from_json(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_mark_before_the_text_is_no_fault(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(b"\xef\xbb\xbf" + FILES["words"].encode())
    assert Tokenizer.load(file).kind == "custom"


def test_vocabularies_with_gaps():
    tokenizer = Tokenizer.from_json(with_vocabulary({"a": 0, "b": 900}, unk_token="a"))
    assert tokenizer.vocab_size == 901
    assert tokenizer.encode("b").tolist() == [900]
    assert tokenizer.decode([900, 5, 900]) == "b b"


def test_a_vocabulary_of_256_000_tokens():
    tokenizer = Tokenizer.from_json(with_vocabulary({f"{i:x}": i for i in range(256_000)}, unk_token="0"))
    assert tokenizer.vocab_size == 256_000


def test_a_large_file_is_not_read(tmp_path, monkeypatch):
    file = tmp_path / "large.json"
    file.write_text(FILES["bert"])
    monkeypatch.setattr(textgru.text.tokenizer_file, "MOST_BYTES", 1000)
    with pytest.raises(InputError, match=r"large\.json: no tokenizer\.json: it has more than"):
        Tokenizer.load(file)
    with pytest.raises(InputError, match="more than"):
        Tokenizer.from_json(FILES["bert"])


@pytest.mark.parametrize("name", ["", "folder", "a\0b", "x" * 300])
def test_a_name_of_no_file(name, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="NUL character|can't be read as a tokenizer.json"):
        Tokenizer.load(tmp_path / name)


def test_a_panic_of_the_library_is_an_error_of_one_line():
    """A pattern that takes for ever is given up by the library, in its way."""
    settings = json.loads(FILES["words"])
    settings["pre_tokenizer"] = {
        "type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False,
    }  # fmt: skip
    tokenizer = Tokenizer.from_json(json.dumps(settings))
    with pytest.raises(InputError, match="can't encode this text: .*retry-limit"):
        tokenizer.encode("a" * 40 + "b")


@pytest.mark.parametrize(
    "part",
    [
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAAAAAA"}},
        {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
    ],
    ids=lambda part: next(iter(part)),
)
def test_a_panic_while_it_is_loaded_writes_nothing(part, capfd):
    text = json.dumps({**json.loads(FILES["words"]), **part})
    with pytest.raises(InputError, match=r"not a tokenizer\.json that the tokenizers library can read") as caught:
        Tokenizer.from_json(text)
    assert "\n" not in str(caught.value)
    os.write(2, b"what comes later is seen")
    assert capfd.readouterr().err == "what comes later is seen"


def mutations(text, rng):
    """The text with a few things changed: bytes of it, or values of its settings."""
    settings = json.loads(text)
    values = [None, True, -1, 0, 10**12, 1e308, "", "x" * 50, "\u2581", [], {}, [[]], {"type": "Sequence"}, 0.5]
    while True:
        if rng.random() < 0.3:
            data = list(text)
            for _ in range(rng.randint(1, 3)):
                data[rng.randrange(len(data))] = chr(rng.choice([0, 34, 44, 48, 57, 91, 93, 123, 125, 0x2581]))
            yield "".join(data[: rng.choice([len(data), rng.randrange(len(data))])])
            continue
        mutant = json.loads(json.dumps(settings))
        for _ in range(rng.randint(1, 2)):
            place = mutant
            while True:
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                key = rng.choice(keys)
                inner = place[key]
                if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.05:
                    break
                place = inner
            if rng.random() < 0.15:
                del place[key]
            else:
                place[key] = json.loads(json.dumps(rng.choice([*values, rng.randrange(2000)])))
            if not mutant:
                break
        yield json.dumps(mutant)


@pytest.mark.parametrize("family", FILES)
def test_damaged_files_are_input_errors_whatever_is_done_with_them(family):
    made, messages = mutations(FILES[family], random.Random(family)), []
    for _ in range(60):
        text = next(made)
        try:
            tokenizer = Tokenizer.from_json(text)
            ids = tokenizer.encode("The ferry crossed the river <s>\n")
            tokenizer.decode(ids)
            decoder = tokenizer.decoder(ids)
            for i in range(min(tokenizer.vocab_size, 50)):
                decoder.feed(i)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 20
    assert not any("\n" in message or len(message) > 400 for message in messages)


def test_a_normalizer_that_makes_too_much_of_a_text_is_refused():
    settings = json.loads(FILES["bert"])
    longer = {"type": "Replace", "pattern": {"Regex": "."}, "content": "x" * 40}
    settings["normalizer"] = {"type": "Sequence", "normalizers": [longer]}
    Tokenizer.from_json(json.dumps(settings))
    settings["normalizer"] = {"type": "Sequence", "normalizers": [longer, {"type": "NFC"}, longer]}
    with pytest.raises(InputError, match="its normalizer may make more than 1,000 characters of one"):
        Tokenizer.from_json(json.dumps(settings))
