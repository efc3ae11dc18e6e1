"""A model that learns another text."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import textgru
from tests.texts import sentences
from textgru.analysis.evaluate import evaluate
from textgru.cli import main
from textgru.errors import InputError
from textgru.training.learning import LearnSettings, learn
from textgru.training.learning_run import learn_run, written

NEW = "Quiet foxes jump over lazy boats, and every quiet boat knows why. " * 200


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learning")
    (folder / "text").write_text(NEW[:66] + sentences(40_000))
    settings = {"hidden_size": 32, "embedding_size": 16, "batch_size": 8, "seq_length": 32, "dropout": 0.2}
    textgru.train(folder / "text", folder / "run", max_steps=200, **settings)
    (folder / "new").write_text(NEW)
    return folder / "run"


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_it_learns_and_forgets_no_more_than_it_may(run, tmp_path):
    before = textgru.load(run)
    knew, old = written(before, 8192, 7), sentences(4000)
    losses = {}
    for limit in (0.05, 5.0):
        model, found = learn_run(run, [run.parent / "new"], tmp_path / f"run{limit}", LearnSettings(forget=limit))
        assert found.after < found.before - 0.5
        assert found.held_out
        assert found.forgotten <= limit
        assert evaluate(model.network, knew).loss - evaluate(before.network, knew).loss < limit + 0.05
        losses[limit] = model.score(old).loss
        assert model.score(NEW).loss < before.score(NEW).loss - 0.5
    assert losses[0.05] < before.score(old).loss + 0.3
    _, one = learn_run(run, [run.parent / "new"], tmp_path / "few", LearnSettings(forget=0.05, epochs=40.0))
    assert one.steps < one.planned
    assert one.forgotten <= 0.05


def test_the_rehearsal_is_what_keeps_it(run, tmp_path):
    """What is kept beside the new text is forgotten less than what isn't."""
    (tmp_path / "kept").write_text(sentences(40_000))
    old = sentences(4000)
    settings = LearnSettings(forget=9.0, epochs=8.0)
    with_old, _ = learn_run(run, [run.parent / "new"], tmp_path / "a", settings, keep=[tmp_path / "kept"])
    alone, _ = learn_run(run, [run.parent / "new"], tmp_path / "b", settings, keep=[run.parent / "new"])
    assert with_old.score(old).loss < alone.score(old).loss - 0.05


def test_the_command_and_the_library_do_the_same(run, tmp_path):
    result = call("learn", run, run.parent / "new", "--out", tmp_path / "a", "--epochs", 2, "-s", 3)
    assert result.exit_code == 0, result.output
    assert "forgotten" in result.stdout
    model = textgru.learn(run, run.parent / "new", tmp_path / "b", epochs=2, seed=3)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()
    assert model.score(NEW).loss == textgru.load(tmp_path / "a").score(NEW).loss
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert config["learned"] == [str(run.parent / "new")]
    assert config["network"]["dropout"] == 0.2
    assert "val_loss" not in textgru.load(tmp_path / "a").run.scores
    again = call("learn", tmp_path / "a", run.parent / "new", "--out", tmp_path / "a", "--overwrite", "--epochs", 1)
    assert again.exit_code == 0, again.output
    assert len(json.loads((tmp_path / "a" / "config.json").read_text())["learned"]) == 2
    assert call("info", tmp_path / "a").exit_code == call("sample", tmp_path / "a", "-n", 3).exit_code == 0


def test_where_it_goes_without_a_name(run):
    assert call("learn", run, run.parent / "new", "--epochs", 0.5).exit_code == 0
    assert textgru.load(run.parent / "run-learned").run.record.learned


def test_the_network_itself_stays_and_short_texts_do(run):
    model = textgru.load(run)
    before = model.network.parameters.values.copy()
    for count in (2, 3, 65, 700):
        tokens = model.tokenizer.encode(NEW)[:count]
        found = learn(model.network, tokens, written(model, 4096, 1), LearnSettings(forget=9.0, epochs=1.0))
        assert found.steps == found.planned
        assert not found.held_out
        assert np.isfinite(found.after)
    np.testing.assert_array_equal(model.network.parameters.values, before)
    with pytest.raises(InputError, match="too little text to learn from"):
        learn(model.network, model.tokenizer.encode("a"), written(model, 4096, 1), LearnSettings())


def test_what_the_model_writes_is_as_likely_as_it_finds_it(run):
    model = textgru.load(run)
    tokens = written(model, 20_000, 1)
    assert len(tokens) >= 20_000
    assert (tokens != model.tokenizer.unk_id).all()
    np.testing.assert_array_equal(tokens, written(model, 20_000, 1))
    assert (tokens != written(model, 20_000, 2)).any()
    counts = np.bincount(tokens, minlength=model.tokenizer.vocab_size) / len(tokens)
    text = np.bincount(model.tokenizer.encode(sentences(40_000)), minlength=model.tokenizer.vocab_size) / 40_000
    assert np.abs(counts - text).max() < 0.05


def test_bad_input_is_one_line_and_leaves_nothing(run, tmp_path):
    (tmp_path / "greek").write_text("αβγδε" * 100)
    new, out = run.parent / "new", tmp_path / "out"
    for arguments, message, code in (
        ([run, tmp_path / "none"], "none: no such file", 2),
        ([run, tmp_path / "greek"], "greek: 100.0% of its tokens are unknown", 2),
        ([run, new, "--keep", tmp_path / "none"], "none: no such file", 2),
        ([run, new, "--epochs", 0], "epochs", 2),
        ([tmp_path / "none", new], "no such run", 2),
        ([run, new, "--lr", 1e38, "--forget", 1e9], "no longer finite", 1),
    ):
        result = call("learn", *arguments, "--out", out)
        assert result.exit_code == code, result.output
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not out.exists()
    assert "holds another run" in call("learn", run, new, "--out", run).stderr
