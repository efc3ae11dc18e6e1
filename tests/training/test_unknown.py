"""Texts in another alphabet than a model's."""

import json

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

    with pytest.raises(SystemExit):
        main(
            [
                "train",
                str(mixed(0.05)),
                "--init-from",
                str(latin),
                "--out",
                str(tmp_path / "run"),
                "--dry-run",
                "--batch-size",
                "4",
                "--seq-length",
                "8",
            ]
        )
    assert "unknown    5.0% of the tokens" in capsys.readouterr().out
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
