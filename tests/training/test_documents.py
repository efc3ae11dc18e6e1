"""Files kept apart by a token that ends a document, for every kind of tokenizer."""

import json

import numpy as np
import pytest
import tokenizers

import textgru
from tests.texts import MIXED, sentences
from textgru.errors import InputError
from textgru.text.files import normalise
from textgru.text.tokenizer import Tokenizer
from textgru.training.run import TrainingRun

LITERAL = "It says <|endoftext|> here.\n"
DOCUMENTS = [sentences(2000), MIXED, LITERAL + sentences(500, seed=1)]
SIZES = {"char": len(set("".join(DOCUMENTS))) + 2, "byte": 257, "bpe": 300}
SMALL = {"batch_size": 4, "seq_length": 8, "hidden_size": 16, "embedding_size": 8}
every_kind = pytest.mark.parametrize("kind", SIZES)


def train(kind, eos=True):
    return Tokenizer.train(kind, lambda: DOCUMENTS, vocab_size=300 if kind == "bpe" else None, eos=eos)


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{number}.txt" for number in range(len(DOCUMENTS))]
    for path, text in zip(paths, DOCUMENTS, strict=True):
        path.write_text(text, encoding="utf-8", newline="")
    return paths


@every_kind
def test_the_token_comes_last_and_only_where_asked(kind):
    tokenizer = train(kind)
    assert tokenizer.eos_id == tokenizer.vocab_size - 1
    assert tokenizer.vocab_size == SIZES[kind]
    assert train(kind, eos=False).eos_id is None
    with pytest.raises(InputError, match="expected at least 257 .*one between documents.* got 256"):
        Tokenizer.train("bpe", lambda: DOCUMENTS, vocab_size=256, eos=True)


@every_kind
def test_it_is_saved_in_the_format_of_the_tokenizers_library(kind, tmp_path):
    tokenizer, file = train(kind), tmp_path / "tokenizer.json"
    file.write_text(tokenizer.to_json(), encoding="utf-8")
    loaded, library = Tokenizer.load(file), tokenizers.Tokenizer.from_file(str(file))
    assert (type(loaded), loaded.kind, loaded.eos_id) == (type(tokenizer), kind, tokenizer.eos_id)
    assert library.token_to_id("<|endoftext|>") == tokenizer.eos_id
    assert library.get_added_tokens_decoder()[tokenizer.eos_id].special
    for text in DOCUMENTS[:2]:
        ids = tokenizer.encode(text)
        assert loaded.encode(text).tolist() == ids.tolist() == library.encode(text).ids
        assert library.decode([*ids.tolist(), tokenizer.eos_id]) == text
    assert loaded.to_json() == tokenizer.to_json()


@every_kind
def test_it_stands_for_no_text_and_no_text_for_it(kind):
    tokenizer = train(kind)
    ids = tokenizer.encode(LITERAL)
    assert tokenizer.eos_id not in ids
    assert tokenizer.eos_id not in np.concatenate(list(tokenizer.encode_blocks([LITERAL])))
    assert tokenizer.decode(ids) == LITERAL
    ended = np.append(ids, tokenizer.eos_id)
    assert tokenizer.decode(ended) == LITERAL
    assert tokenizer.count_characters(ended) == len(LITERAL)
    decoder = tokenizer.decoder()
    assert decoder.feed(tokenizer.eos_id) == ""
    assert "".join(decoder.feed(int(i)) for i in ended) == LITERAL


@every_kind
def test_every_file_is_followed_by_it(kind, files, tmp_path):
    with TrainingRun(
        files, tmp_path / "run", tokenizer=kind, vocab_size=300 if kind == "bpe" else None, separate_documents=True,
        val_fraction=0, training={"batch_size": 4, "seq_length": 8},
    ) as run:  # fmt: skip
        ids = np.array(run.corpus.train)
        ends = np.flatnonzero(ids == run.tokenizer.eos_id)
        texts = [run.tokenizer.decode(part) for part in np.split(ids, ends + 1)]
        characters = run.corpus.characters
    read = [normalise(text) for text in DOCUMENTS]
    assert texts == [*read, ""]
    assert characters == sum(map(len, read))


@every_kind
def test_a_model_begins_and_ends_a_document(kind, files, tmp_path):
    model = textgru.train(files, tmp_path / "run", tokenizer=kind, separate_documents=True, max_steps=3, **SMALL)
    assert model.run.config["corpus"]["separate_documents"] is True
    loaded = textgru.load(tmp_path / "run")
    for settings in ({"seed": 1}, {"seed": 1, "top_k": 5}, {"temperature": 0}):
        parameters = loaded.network.output.parameters["bias"]
        parameters[loaded.tokenizer.eos_id] = -1e9
        loaded.repack()
        whole = loaded.generate("The", length=200, **settings)
        assert "<|endoftext|>" not in whole
        parameters[loaded.tokenizer.eos_id] = 1e9
        loaded.repack()
        assert loaded.generate("The", length=200, **settings) == "The", "the end of the document is drawn at once"
        assert list(loaded.stream(length=200, **settings)) == []


@every_kind
def test_without_a_prompt_it_starts_after_the_end_of_a_document(kind, files, tmp_path):
    model = textgru.train(files, tmp_path / "run", tokenizer=kind, separate_documents=True, max_steps=1, **SMALL)
    network, tokenizer = model.network, model.tokenizer
    newline = int(tokenizer.encode("\n")[0])
    vectors, bias = network.embedding.parameters["weight"], network.output.parameters["bias"]
    vectors[newline] = np.linspace(-9, 9, 8)
    vectors[tokenizer.eos_id] = -vectors[newline]
    never = [i for i in (tokenizer.unk_id, tokenizer.eos_id, *range(128, 256)) if i is not None and i < len(bias)]
    bias[:] = 0
    bias[never] = -1e9
    first = {}
    for token in (newline, tokenizer.eos_id):
        session = network.session()
        session.step(token)
        first[token] = tokenizer.decode([int(np.argmax(session.logits[0]))])
    assert first[newline] != first[tokenizer.eos_id]
    assert model.generate(length=1, temperature=0) == first[tokenizer.eos_id]
    assert model.generate("\n", length=1, temperature=0) == "\n" + first[newline]


def test_a_tokenizer_of_ones_own_needs_the_token(files, tmp_path):
    without, with_it = tmp_path / "without.json", tmp_path / "with.json"
    without.write_text(train("bpe", eos=False).to_json(), encoding="utf-8")
    settings = json.loads(train("bpe").to_json())
    settings["normalizer"] = {"type": "NFC"}
    with_it.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(InputError, match=r"separate_documents: the tokenizer has no token <\|endoftext\|>"):
        textgru.train(files, tmp_path / "run", tokenizer=without, separate_documents=True, max_steps=1, **SMALL)
    model = textgru.train(files, tmp_path / "run", tokenizer=with_it, separate_documents=True, max_steps=1, **SMALL)
    assert model.tokenizer.kind == "custom"
    eos = model.tokenizer.eos_id
    assert eos == 299
    assert model.tokenizer.decode([eos]) == model.tokenizer.decoder().feed(eos) == ""


def test_weights_to_start_from_keep_their_token(files, tmp_path):
    for name, separate in (("plain", False), ("apart", True)):
        textgru.train(files, tmp_path / name, separate_documents=separate, max_steps=1, **SMALL)
    small = {"max_steps": 1, "batch_size": 4, "seq_length": 8}
    with pytest.raises(InputError, match="separate_documents: the tokenizer has no token"):
        textgru.train(files, tmp_path / "a", init_from=tmp_path / "plain", separate_documents=True, **small)
    first = textgru.load(tmp_path / "apart")
    tuned = textgru.train(files, tmp_path / "b", init_from=tmp_path / "apart", separate_documents=True, **small)
    assert tuned.tokenizer.eos_id == first.tokenizer.eos_id


def test_a_token_that_was_never_trained_starts_nothing(files, tmp_path):
    """A tokenizer that happens to have it, in a training that doesn't keep files apart."""
    own = tmp_path / "own.json"
    own.write_text(train("byte").to_json(), encoding="utf-8")
    model = textgru.train(files, tmp_path / "run", tokenizer=own, max_steps=2, **SMALL)
    assert model.generate(length=20, temperature=0) == model.generate("\n", length=20, temperature=0)[1:]
