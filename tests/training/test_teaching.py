"""Learning from the predictions of other models."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

import textgru
from tests.texts import sentences
from textgru.cli import main
from textgru.errors import InputError
from textgru.training.events import StepEvent
from textgru.training.run import TrainingRun
from textgru.training.teaching import Teachers

SHAPE = {"hidden_size": 16, "embedding_size": 8}
STEPS = {"batch_size": 8, "seq_length": 16, "max_steps": 60}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teaching")
    (folder / "text").write_text(sentences(20_000))
    for name, cell in (("one", "gru"), ("two", "lstm")):
        textgru.train(folder / "text", folder / name, cell=cell, hidden_size=48, **{**STEPS, "max_steps": 300})
    return folder


def call(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_what_is_taught_is_the_mean_of_the_probabilities(place):
    networks = [textgru.load(place / name).network for name in ("one", "two")]
    tokens = np.random.default_rng(1).integers(0, networks[0].config.vocab_size, (9, 3))
    teachers = Teachers(networks, 3)
    parts = [teachers.probabilities(tokens[:4]), teachers.probabilities(tokens[4:])]
    wanted = []
    for network in networks:
        scores, _ = network.scores(tokens, network.initial_state(3))
        p = np.exp(scores.astype(np.float64))
        wanted.append(p / p.sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(np.concatenate(parts), np.mean(wanted, axis=0), atol=1e-6)
    teachers.begin()
    np.testing.assert_array_equal(teachers.probabilities(tokens[:4]), parts[0])


def test_a_student_of_good_teachers_is_better_for_it(place, tmp_path):
    """Of teachers that know the whole text, by a student that sees little of it."""
    (tmp_path / "little").write_text(sentences(2_500))
    losses = {}
    for weight in (0.0, 0.9):
        student = textgru.train(
            tmp_path / "little", tmp_path / f"student{weight}", **SHAPE, **{**STEPS, "max_steps": 150},
            teachers=[place / "one", place / "two"], teacher_weight=weight, overwrite=True,
        )  # fmt: skip
        losses[weight] = student.score(sentences(20_000)[10_000:]).loss
    alone = textgru.train(
        tmp_path / "little", tmp_path / "alone", **SHAPE, **{**STEPS, "max_steps": 150},
        tokenizer=place / "one" / "tokenizer.json",
    )  # fmt: skip
    assert losses[0.0] == alone.score(sentences(20_000)[10_000:]).loss
    assert losses[0.9] < losses[0.0] - 0.01


def test_it_goes_on_to_the_same_bits(place, tmp_path):
    teachers = [str(place / "one"), str(place / "two")]
    for name in ("whole", "abandoned"):
        training = {**STEPS, "checkpoint_every": 7}
        with TrainingRun([place / "text"], tmp_path / name, network=SHAPE, training=training, teachers=teachers) as run:
            for event in run.events():
                if name == "abandoned" and isinstance(event, StepEvent) and event.step >= 33:
                    break
            run._writer._lock.release()
    with TrainingRun.resume(tmp_path / "abandoned") as run:
        list(run.events())
    whole, abandoned = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "abandoned"))
    assert whole == abandoned


def test_a_teacher_that_has_changed_is_noticed(place, tmp_path):
    shutil.copytree(place / "one", tmp_path / "teacher")
    with TrainingRun(
        [place / "text"], tmp_path / "run", network=SHAPE, training={**STEPS, "checkpoint_every": 5},
        teachers=[tmp_path / "teacher"],
    ) as run:  # fmt: skip
        for event in run.events():
            if isinstance(event, StepEvent) and event.step >= 20:
                break
    textgru.train(place / "text", tmp_path / "teacher", overwrite=True, hidden_size=8, **STEPS)
    with pytest.raises(InputError, match="teacher: is another model than the one that this training learns from"):
        textgru.resume(tmp_path / "run")
    shutil.rmtree(tmp_path / "teacher")
    with pytest.raises(InputError, match="teacher: no such run"):
        textgru.resume(tmp_path / "run")


def test_the_commands(place, tmp_path):
    """distill is train with teachers, on the text that they learned."""
    sizes = ["--hidden-size", 16, "--embedding-size", 8, "--batch-size", 8, "--seq-length", 16, "--max-steps", 20]
    result = call("distill", place / "one", place / "two", "-o", tmp_path / "a", *sizes)
    assert result.exit_code == 0, result.output
    teachers = ["--teacher", place / "one", "--teacher", place / "two"]
    assert call("train", place / "text", "-o", tmp_path / "b", *teachers, *sizes).exit_code == 0
    first, second = (textgru.load(tmp_path / name) for name in ("a", "b"))
    np.testing.assert_array_equal(first.network.parameters.values, second.network.parameters.values)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert [record["run"] for record in config["teachers"]] == [str(place / "one"), str(place / "two")]
    assert config["training"]["teacher_weight"] == 0.5
    (tmp_path / "other").write_text(sentences(3000))
    result = call("distill", place / "one", "--text", tmp_path / "other", "-o", tmp_path / "c", *sizes)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "c" / "config.json").read_text())["corpus"]["files"] == [str(tmp_path / "other")]


def test_what_can_not_be_is_one_line(place, tmp_path):
    (tmp_path / "other").write_text("ÄÖÜ " * 3000)
    textgru.train(tmp_path / "other", tmp_path / "foreign", hidden_size=8, **STEPS)
    for arguments, message in (
        (["distill", place / "one", tmp_path / "foreign"], "foreign: its tokens are not those of the first teacher"),
        (["distill", tmp_path / "none"], "no such run"),
        (["distill", place / "one", "--tokenizer", "byte"], "has their tokenizer; leave it out"),
        (["train", place / "text", "--teacher", place / "one", "--init-from", place / "one"], "leave one out"),
        (["train", "--resume", place / "one", "--teacher", place / "one"], "leave out --teacher"),
        (["distill", place / "one", "--teacher-weight", 2], "teacher-weight"),
    ):
        result = call(*arguments, *([] if "--resume" in arguments else ["-o", tmp_path / "out"]))
        assert result.exit_code == 2, result.output
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "out").exists()
