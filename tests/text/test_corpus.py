"""Encoding and batching."""

import hashlib
import os

import numpy as np
import pytest

from textgru.errors import InputError
from textgru.text.corpus import Corpus
from textgru.text.files import read_blocks
from textgru.text.tokenizer import Tokenizer
from textgru.training.batches import Batches


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def encode(text, tmp_path, kind="char", **options):
    file = write(tmp_path / "text", text)
    tokenizer = Tokenizer.train(kind, lambda: read_blocks([file]))
    return tokenizer, Corpus.encode(tokenizer, [file], tmp_path / "ids", **options)


@pytest.mark.parametrize(("kinds", "dtype"), [(200, np.uint8), (300, np.uint16), (66_000, np.uint32)])
def test_ids_are_stored_as_small_as_they_can_be(kinds, dtype, tmp_path):
    text = "".join(chr(0x4E00 + i) if i < 0x5000 else chr(0x20000 + i) for i in range(kinds))
    tokenizer, corpus = encode(text, tmp_path)
    assert corpus.train.dtype == dtype
    assert tokenizer.decode(np.concatenate([corpus.train, corpus.validation])) == text


def test_the_end_is_held_out(tmp_path):
    text = "ab" * 500
    tokenizer, corpus = encode(text, tmp_path, val_fraction=0.25)
    assert tokenizer.decode(corpus.train) == text[:750]
    assert tokenizer.decode(corpus.validation) == text[750:]
    assert corpus.characters == 1000
    assert corpus.validation_characters == 250
    assert len(encode(text, tmp_path, val_fraction=0.0)[1].validation) == 0


def test_the_held_out_part_is_a_tenth_up_to_a_limit(tmp_path, monkeypatch):
    assert len(encode("ab" * 500, tmp_path)[1].validation) == 100
    monkeypatch.setattr("textgru.text.corpus.MOST_HELD_OUT", 30)
    assert len(encode("ab" * 500, tmp_path)[1].validation) == 30


def test_characters_are_counted_in_the_text_not_in_tokens(tmp_path):
    _, corpus = encode("é" * 1000, tmp_path, "byte")
    assert corpus.characters == 1000
    assert len(corpus.validation) == 200
    assert corpus.validation_characters == 100


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no text in it"):
        encode("", tmp_path, "byte")


@pytest.mark.parametrize(("kind", "letters"), [("byte", 20), ("char", 300)], ids=["one byte an id", "two"])
@pytest.mark.parametrize("separate_documents", [False, True])
def test_the_file_of_ids_is_hashed_as_it_is_written(kind, letters, separate_documents, tmp_path):
    file = write(tmp_path / "text", "".join(chr(0x100 + i) for i in range(letters)) * 5000)
    tokenizer = Tokenizer.train(kind, lambda: read_blocks([file]), eos=True)
    ids = tmp_path / "ids"
    corpus = Corpus.encode(tokenizer, [file], ids, separate_documents=separate_documents)
    assert corpus.sha256 == hashlib.sha256(ids.read_bytes()).hexdigest()
    tokens = len(corpus.train) + len(corpus.validation)
    again = Corpus.open(tokenizer, ids, characters=corpus.characters, tokens=tokens, sha256=corpus.sha256)
    assert again.sha256 == corpus.sha256
    np.testing.assert_array_equal(again.train, corpus.train)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], "1,999 bytes, expected 2,000"),
        (lambda data: data[:1000], "1,000 bytes, expected 2,000"),
        (lambda data: data + b"\0\0", "2,002 bytes, expected 2,000"),
        (lambda data: b"", "0 bytes, expected 2,000"),
        (lambda data: data[2:] + data[:2], "its bytes are not those that were written"),
    ],
    ids=["a byte less", "half", "more", "nothing", "other bytes"],
)
def test_a_file_of_ids_that_was_changed_is_refused(change, message, tmp_path):
    tokenizer, corpus = encode("".join(chr(0x4E00 + i) for i in range(1000)), tmp_path)
    ids = tmp_path / "ids"
    ids.write_bytes(change(ids.read_bytes()))
    with pytest.raises(InputError, match=f"ids: damaged: {message}"):
        Corpus.open(tokenizer, ids, characters=1000, tokens=1000, sha256=corpus.sha256)


@pytest.mark.parametrize(
    ("size", "message"), [(0, "0 bytes, expected some"), (1999, "1,999 bytes, expected some, 2 for")]
)
def test_a_file_of_ids_by_halves_is_refused_without_its_hash(size, message, tmp_path):
    tokenizer, _ = encode("".join(chr(0x4E00 + i) for i in range(1000)), tmp_path)
    os.truncate(tmp_path / "ids", size)
    with pytest.raises(InputError, match=f"ids: damaged: {message}"):
        Corpus.open(tokenizer, tmp_path / "ids", characters=1000)
    (tmp_path / "ids").unlink()
    with pytest.raises(InputError, match="ids: can't be read: No such file"):
        Corpus.open(tokenizer, tmp_path / "ids", characters=1000)


def test_rows_of_a_batch_go_on_where_they_were():
    tokens = np.arange(1000)
    batches = iter(Batches(tokens, 4, 10, np.random.default_rng(0)))
    starts, inputs, targets = next(batches)
    assert starts
    assert inputs.shape == targets.shape == (10, 4)
    assert inputs.dtype == targets.dtype == np.intp
    for _ in range(20):
        np.testing.assert_array_equal(targets, inputs + 1)
        starts, following, targets = next(batches)
        assert not starts
        np.testing.assert_array_equal(following[0], inputs[-1] + 1)
        inputs = following


def test_an_epoch_covers_the_text_once_and_starts_elsewhere_next_time():
    tokens = np.arange(1000)
    batches = Batches(tokens, 4, 10, np.random.default_rng(0))
    epochs = []
    for starts, inputs, _ in batches:
        if starts:
            if len(epochs) == 6:
                break
            epochs.append([])
        epochs[-1].append(inputs)
    for epoch in epochs:
        seen = np.concatenate([inputs.ravel() for inputs in epoch])
        assert len(np.unique(seen)) == len(seen)
        assert len(seen) >= 940
    assert len({int(epoch[0][0, 0]) for epoch in epochs}) > 1


@pytest.mark.parametrize("extra", [0, 1])
def test_text_shorter_than_a_batch_is_refused(extra):
    tokens = np.arange(4 * 10 + extra)
    if extra:
        next(iter(Batches(tokens, 4, 10, np.random.default_rng(0))))
    else:
        with pytest.raises(InputError, match="40 tokens for training, one batch needs 41"):
            Batches(tokens, 4, 10, np.random.default_rng(0))
