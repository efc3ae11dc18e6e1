"""Events for TensorBoard, read back by its own reader."""

import json
import sys

import pytest

import textgru
from tests.texts import sentences
from textgru.errors import InputError

SMALL = {"hidden_size": 8, "embedding_size": 4, "batch_size": 4, "seq_length": 8}
TAGS = {
    "loss/train", "loss/validation", "bits_per_char/validation", "learning_rate", "gradient_norm", "tokens_per_second",
}  # fmt: skip


@pytest.fixture
def text_file(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(sentences(5_000))
    return file


@pytest.fixture
def scalars():
    """Reads the events of a run: tag -> step -> value, each step once."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read(run):
        events = reader.EventAccumulator(str(run / "tensorboard"))
        events.Reload()
        found = {}
        for tag in events.Tags()["scalars"]:
            steps = [event.step for event in events.Scalars(tag)]
            assert steps == sorted(set(steps))
            found[tag] = {event.step: event.value for event in events.Scalars(tag)}
        return found

    return read


def noted(run, kind, name):
    """What metrics.jsonl has of it, by step, as TensorBoard stores numbers."""
    events = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return {event["step"]: pytest.approx(event[name], rel=1e-6) for event in events if event["event"] == kind}


def assert_the_same(found, run):
    assert found.keys() == TAGS
    assert found["loss/train"] == noted(run, "step", "loss")
    assert found["learning_rate"] == noted(run, "step", "learning_rate")
    assert found["gradient_norm"] == noted(run, "step", "gradient_norm")
    assert found["tokens_per_second"] == noted(run, "step", "tokens_per_second")
    assert found["loss/validation"] == noted(run, "evaluation", "val_loss")
    assert found["bits_per_char/validation"] == noted(run, "evaluation", "bits_per_char")


def test_tensorboard_reads_what_metrics_say(text_file, tmp_path, scalars):
    """Also what happened before the run was in its place: the first weights are saved at step 25."""
    textgru.train(text_file, tmp_path / "run", max_steps=60, eval_every=25, tensorboard=True, **SMALL)
    assert_the_same(scalars(tmp_path / "run"), tmp_path / "run")
    assert list(scalars(tmp_path / "run")["loss/train"]) == [10, 20, 30, 40, 50, 60]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "text.txt"]


class Crash(Exception):  # noqa: N818
    pass


def test_a_resumed_training_goes_on_with_it(text_file, tmp_path, scalars):
    """What was written after the checkpoint is replaced."""

    def crash(event):
        if event.step == 47:
            raise Crash

    with pytest.raises(Crash):
        textgru.train(
            text_file, tmp_path / "run", max_steps=60, eval_every=25, checkpoint_every=1000, tensorboard=True,
            on_event=crash, **SMALL,
        )  # fmt: skip
    assert max(scalars(tmp_path / "run")["loss/train"]) == 40
    textgru.resume(tmp_path / "run")
    assert_the_same(scalars(tmp_path / "run"), tmp_path / "run")


def test_it_is_a_run_that_can_be_used_and_replaced(text_file, tmp_path, scalars):
    textgru.train(text_file, tmp_path / "run", max_steps=20, tensorboard=True, **SMALL)
    assert textgru.load(tmp_path / "run").generate(length=5)
    textgru.train(text_file, tmp_path / "run", max_steps=10, tensorboard=True, overwrite=True, **SMALL)
    assert list(scalars(tmp_path / "run")["loss/train"]) == [10]
    textgru.train(text_file, tmp_path / "run", max_steps=10, overwrite=True, **SMALL)
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_the_package_is_asked_for_before_anything_is_done(text_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(InputError, match=r"pip install tensorboard"):
        textgru.train(text_file, tmp_path / "run", tensorboard=True, **SMALL)
    assert not (tmp_path / "run").exists()


def test_the_command_asks_for_it_too(text_file, tmp_path, monkeypatch):
    from click.testing import CliRunner

    from textgru.cli import main

    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    result = CliRunner().invoke(main, ["train", str(text_file), "--out", str(tmp_path / "run"), "--tensorboard"])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "pip install tensorboard" in result.stderr
    assert not (tmp_path / "run").exists()
