"""Texts in another alphabet than a model's."""

import json

import numpy as np
import pytest

import textgru
from tests.texts import sentences

SMALL = {"batch_size": 4, "seq_length": 8, "max_steps": 2}


@pytest.fixture(scope="module")
def latin(tmp_path_factory):
    file = tmp_path_factory.mktemp("latin") / "text.txt"
    file.write_text(sentences(3_000))
    textgru.train(file, file.parent / "run", hidden_size=8, **SMALL)
    return file.parent / "run"


@pytest.fixture
def mixed(tmp_path):
    """Makes a text, the given part of which is unknown."""

    def made(share):
        text = sentences(2_000)
        cut = round(len(text) * (1 - share))
        (tmp_path / "mixed.txt").write_text(text[:cut] + "Ж" * (len(text) - cut), encoding="utf-8")
        return tmp_path / "mixed.txt"

    return made


def test_a_foreign_text_is_not_trained_on_unless_told(latin, mixed, tmp_path):
    for options in ({"init_from": latin}, {"tokenizer": latin / "tokenizer.json"}):
        with pytest.raises(textgru.InputError, match=r"mixed.txt: 60.0% of its tokens are unknown .*--allow-unknown"):
            textgru.train(mixed(0.6), tmp_path / "run", **options, **SMALL)
        assert not (tmp_path / "run").exists()
    textgru.train(mixed(0.6), tmp_path / "run", init_from=latin, allow_unknown=True, **SMALL)
    textgru.train(mixed(1.0), tmp_path / "own", hidden_size=8, **SMALL)


def test_a_few_unknown_characters_are_told(latin, mixed, tmp_path, capsys):
    from textgru.cli import main

    small = ["--batch-size", "4", "--seq-length", "8", "--dry-run", "--out", str(tmp_path / "run")]
    for options, told in (
        (["--tokenizer", str(latin / "tokenizer.json")], "unknown    5.0% of the tokens"),
        (["--init-from", str(latin)], "new        1 character that the earlier model lacks"),
    ):
        with pytest.raises(SystemExit):
            main(["train", str(mixed(0.05)), *options, *small])
        assert told in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["eval", str(latin), str(mixed(0.25)), "--json"])
    out, err = capsys.readouterr()
    assert json.loads(out)["unknown"] == 0.25
    assert err == "textgru: warning: 25.0% of the text's tokens are unknown to the model\n"


def test_scores_of_foreign_texts_warn(latin):
    model = textgru.load(latin)
    model.perplexity("the old man")
    with pytest.warns(UserWarning, match=r"50\.0% of the text's tokens are unknown to the model"):
        model.score("theЖЖЖ")


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("tie_weights", [False, True])
def test_characters_that_an_earlier_model_lacks_are_added(tmp_path, documents, tie_weights):
    """Those that it knows keep their numbers and weights; the new ones begin as the mean, and unlikely."""
    (tmp_path / "old.txt").write_text(sentences(3_000))
    (tmp_path / "new.txt").write_text(sentences(3_000) + "ÄßЖ " * 9)
    shape = {"hidden_size": 8, "embedding_size": 8, "tie_weights": tie_weights, "separate_documents": documents}
    old = textgru.train(tmp_path / "old.txt", tmp_path / "old", **shape, **SMALL)
    settings = {**SMALL, "learning_rate": 1e-9, "ema_decay": 0.0, "warmup": 0, "separate_documents": documents}
    new = textgru.train(tmp_path / "new.txt", tmp_path / "new", init_from=tmp_path / "old", **settings)
    assert new.tokenizer.vocab_size == old.tokenizer.vocab_size + 3
    assert new.tokenizer.eos_id == old.tokenizer.eos_id
    text = sentences(500) + "ÄЖß"
    tokens = new.tokenizer.encode(text)
    assert new.tokenizer.decode(tokens) == text
    assert sorted(tokens[-3:]) == [old.tokenizer.vocab_size + i for i in range(3)]
    assert new.tokenizer.unknown_characters(text + "Q") == ["Q"]
    assert tokens[:-3].tolist() == old.tokenizer.encode(sentences(500)).tolist()
    known = old.network.named_parameters()
    for name, array in new.network.named_parameters().items():
        rows = len(known[name])
        np.testing.assert_allclose(array[:rows], known[name], atol=1e-6, err_msg=name)
        if len(array) > rows:
            wanted = known[name].min() if array.ndim == 1 else known[name].mean(axis=0)
            np.testing.assert_allclose(array[rows:], np.broadcast_to(wanted, array[rows:].shape), atol=1e-6)
    again = textgru.load(tmp_path / "new")
    assert again.tokenizer.to_json() == new.tokenizer.to_json()
    assert again.score(text).loss == new.score(text).loss
