"""Several models as one: the mean of their probabilities, in whatever is done with it."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import textgru
from tests.texts import sentences
from textgru.cli import main

TEXT = sentences(3000)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble")
    (folder / "text").write_text(sentences(20_000))
    shapes = {"gru": {"hidden_size": 24}, "lstm": {"hidden_size": 17, "num_layers": 2}}
    for cell, shape in shapes.items():
        textgru.train(
            folder / "text", folder / cell, cell=cell, **shape, embedding_size=8, batch_size=8, seq_length=16,
            max_steps=60,
        )  # fmt: skip
    return [folder / "gru", folder / "lstm"]


@pytest.fixture(scope="module")
def model(runs):
    return textgru.load_ensemble(runs)


def probabilities(model, tokens):
    """(n, V), of what follows each of the tokens."""
    network = model.network
    scores, _ = network.scores(tokens[:, None].astype(np.intp), network.initial_state(1))
    scores = scores[:, 0].astype(np.float64)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def mean_of(runs, tokens):
    return np.mean([probabilities(textgru.load(run), tokens) for run in runs], axis=0)


def test_scores_are_those_of_the_mean(runs, model):
    tokens = model.tokenizer.encode(TEXT)
    p = mean_of(runs, tokens)[np.arange(len(tokens) - 1), tokens[1:]]
    assert model.score(TEXT).loss == pytest.approx(-np.log(p).mean(), rel=1e-5)
    assert model.surprisals(TEXT).bits[1:] == pytest.approx(-np.log2(p), abs=1e-4)
    top = model.surprisals(TEXT, top=3)
    assert top.bits[1:] == pytest.approx(-np.log2(p), abs=1e-4)
    assert top.probabilities[1:] == pytest.approx(-np.sort(-mean_of(runs, tokens)[:-1], axis=1)[:, :3], abs=1e-4)
    lines = TEXT.splitlines()[:20]
    single = [textgru.load(run).score_lines(lines) for run in runs]
    for found, *each in zip(model.score_lines(lines), *single, strict=True):
        assert min(one.log_prob for one in each) <= found.log_prob
    assert model.score(TEXT).loss < max(textgru.load(run).score(TEXT).loss for run in runs)


@pytest.mark.parametrize("settings", [{}, {"top_k": 5, "repetition_penalty": 1.2}, {"temperature": 0}])
def test_texts_are_drawn_from_the_mean(runs, model, settings):
    """The likeliest token is the mean's; a text is the same in company; its logarithms are the mean's."""
    prompts = ["The ferry", "A tar"]
    pieces = list(model.pieces(prompts, seed=3, length=30, log_probabilities=True, **settings))
    for number, prompt in enumerate(prompts):
        mine = [piece for piece in pieces if piece.number == number]
        drawn = [token for piece in mine for token in piece.tokens]
        logs = [log for piece in mine for log in piece.log_probabilities]
        tokens = np.concatenate([model.tokenizer.encode(prompt), drawn])
        p = mean_of(runs, tokens)[len(tokens) - len(drawn) - 1 : -1]
        assert logs == pytest.approx(np.log(p[np.arange(len(drawn)), drawn]), abs=1e-4)
        if "temperature" in settings:
            assert drawn == p.argmax(axis=1).tolist()
        if "top_k" in settings:
            assert len(set(drawn)) > 3
    together = model.generate(prompts, seed=3, length=30, **settings)
    assert together[0] == model.generate(prompts[0], seed=3, length=30, **settings)


def test_drawn_as_often_as_the_mean_says(runs, model):
    tokens = model.tokenizer.encode("The")
    wanted = mean_of(runs, tokens)[-1]
    drawn = model.generate(["The"] * 3000, length=1, temperature=1.0, seed=1)
    counts = np.bincount(
        [int(model.tokenizer.encode(text)[-1]) for text in drawn], minlength=len(wanted)
    )  # the unknown token is never drawn
    wanted[model.tokenizer.unk_id] = 0
    wanted /= wanted.sum()
    assert np.abs(counts / 3000 - wanted).max() < 5 * np.sqrt(0.25 / 3000)


def test_states_and_beams(model, tmp_path):
    whole = model.generate("The ferry", seed=5, length=60)
    stream = model.stream("The ferry", seed=5, length=25)
    first = "".join(stream)
    stream.state.save(tmp_path / "state")
    state = model.load_state(tmp_path / "state")
    assert "The ferry" + first + "".join(model.stream(state=state, length=35)) == whole
    (text, best), *_ = model.beam_search("The ferry", width=3, length=10)
    assert len(text) == 10
    assert best.log_probability >= model.beam_search("The ferry", width=1, length=10)[0][1].log_probability - 1e-6
    with pytest.raises(textgru.InputError, match="state: it belongs to another model"):
        model.models[0].load_state(tmp_path / "state")


def test_the_command_line(runs, model, tmp_path):
    (tmp_path / "text").write_text(TEXT)
    call = CliRunner().invoke
    result = call(main, ["eval", *map(str, runs), str(tmp_path / "text"), "--json"])
    assert json.loads(result.stdout)["loss"] == pytest.approx(model.score(TEXT).loss, rel=1e-5)
    compared = call(main, ["eval", *map(str, runs), str(tmp_path / "text"), "-c", str(runs[0])]).stdout
    assert "gru + lstm" in compared
    sampled = call(main, ["sample", *map(str, runs), "-p", "The", "-s", "2", "-n", "40"])
    assert sampled.stdout == model.generate("The", seed=2, length=40) + "\n"
    for arguments, message in (
        (["eval", *map(str, runs)], "give at least one text file"),
        (["eval", *map(str, runs), str(tmp_path / "text"), "--dynamic"], "can't follow a text"),
        (["sample", *map(str, runs), "--adapt", str(tmp_path / "text")], "can't adapt"),
        (["sample", *map(str, runs), "--temperature", "auto"], "isn't known of several models"),
    ):
        result = call(main, arguments)
        assert result.exit_code == 2
        assert message in result.stderr


def test_what_can_not_be_is_said(runs, model, tmp_path):
    (tmp_path / "text").write_text("Other letters: äöü 0123456789. " * 300)
    textgru.train(tmp_path / "text", tmp_path / "other", hidden_size=8, embedding_size=4, max_steps=2)
    with pytest.raises(textgru.InputError, match="other: its tokens are not those of .*gru"):
        textgru.load_ensemble([runs[0], tmp_path / "other"])
    with pytest.raises(textgru.InputError, match="give at least one"):
        textgru.load_ensemble([])
    with pytest.raises(textgru.InputError, match="expected several"):
        textgru.load_ensemble(str(runs[0]))
    assert type(textgru.load_ensemble(runs[:1])) is textgru.LanguageModel
    for act in (
        lambda: model.save(tmp_path / "x"),
        lambda: model.embed(["a"]),
        lambda: model.adapt(TEXT),
        lambda: model.surprisals(TEXT, dynamic=True),
    ):
        with pytest.raises(textgru.InputError, match="several models"):
            act()
