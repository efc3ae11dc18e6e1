"""A training that stops, however it stops, goes on to the same bits."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

import textgru
from tests.texts import sentences
from textgru.analysis.evaluate import Score
from textgru.core import AdamW, get_num_threads, set_num_threads, simd
from textgru.core.products import product_kernels, set_product_kernels
from textgru.runs.writer import NewRun
from textgru.training.events import CheckpointEvent, EndEvent, EvaluationEvent, StepEvent
from textgru.training.run import TrainingRun

SHAPE = {"hidden_size": 24, "embedding_size": 8, "num_layers": 2, "dropout": 0.2}
SETTINGS = {"batch_size": 8, "seq_length": 16, "max_steps": 130, "eval_every": 40, "checkpoint_every": 7, "seed": 5}


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("text") / "tales.txt"
    file.write_text(sentences(9_000), encoding="utf-8")  # about 60 steps an epoch
    return file


def start(text_file, out, **options):
    return TrainingRun([text_file], out, network=SHAPE, training={**SETTINGS, **options})


def weights(run):
    return {name: array.tobytes() for name, array in textgru.load(run).network.named_parameters().items()}


def history(run):
    """The events of a run without what the clock says."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    timed = {"seconds", "seconds_left", "tokens_per_second"}
    return [{name: value for name, value in line.items() if name not in timed} for line in lines]


@pytest.fixture(scope="module")
def whole(text_file, tmp_path_factory):
    """A run that never stopped."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    with start(text_file, out) as run:
        list(run.events())
    return out


def same(run, whole):
    assert weights(run) == weights(whole)
    assert history(run) == history(whole)
    assert (run / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert sorted(os.listdir(run)) == ["config.json", "metrics.jsonl", "model.safetensors", "tokenizer.json"]


def abandon(run, steps):
    """Trains for `steps` steps and stops without saving, as a process that is killed does."""
    for event in run.events():
        if isinstance(event, StepEvent) and event.step >= steps:
            break
    run._writer._lock.release()  # the system does that for a process that is gone


@pytest.mark.parametrize("steps", [8, 14, 39, 40, 41, 60, 62, 119, 129])
def test_abandoned_anywhere(text_file, tmp_path, whole, steps):
    """In a first epoch, after a checkpoint, before and after an evaluation, at the turn of an epoch, near the end."""
    abandon(start(text_file, tmp_path / "run"), steps)
    textgru.resume(tmp_path / "run")
    same(tmp_path / "run", whole)


def test_abandoned_again_and_again(text_file, tmp_path, whole):
    abandon(start(text_file, tmp_path / "run"), 20)
    for steps in (25, 33, 61, 61, 90, 128):
        abandon(TrainingRun.resume(tmp_path / "run"), steps)
    events = []
    textgru.resume(tmp_path / "run", on_event=events.append)
    assert [event.step for event in events if isinstance(event, StepEvent)] == list(range(127, 131))
    same(tmp_path / "run", whole)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_with_each_optimizer(text_file, tmp_path, optimizer):
    """Also on another number of threads, where products are packed."""
    for name in ("whole", "abandoned"):
        with start(text_file, tmp_path / name, optimizer=optimizer) as run:
            abandon(run, 33) if name == "abandoned" else list(run.events())
    with TrainingRun.resume(tmp_path / "abandoned", threads=2) as run:
        list(run.events())
    if simd.instruction_set() != "baseline":
        assert weights(tmp_path / "abandoned") == weights(tmp_path / "whole")


def test_a_training_of_an_earlier_version_keeps_its_optimizer(text_file, tmp_path):
    """There was only AdamW, and no setting for it."""
    for name in ("whole", "earlier"):
        with start(text_file, tmp_path / name, optimizer="adamw") as run:
            abandon(run, 33) if name == "earlier" else list(run.events())
    file = tmp_path / "earlier" / "config.json"
    config = json.loads(file.read_text())
    del config["training"]["optimizer"]
    file.write_text(json.dumps(config))
    with TrainingRun.resume(tmp_path / "earlier") as run:
        assert type(run.trainer.optimizer) is AdamW
        list(run.events())
    assert weights(tmp_path / "earlier") == weights(tmp_path / "whole")


@pytest.mark.parametrize("steps", [3, 40, 50])
def test_a_stop_saves_and_goes_on(text_file, tmp_path, whole, steps):
    """Before anything was saved, at a planned evaluation, and between two."""
    with start(text_file, tmp_path / "run") as run:
        events = []
        for event in run.events():
            events.append(event)
            if isinstance(event, StepEvent) and event.step == steps:
                run.stop()
    assert isinstance(events[-1], EndEvent)
    assert (events[-1].reason, events[-1].step) == ("stopped", steps)
    assert sum(isinstance(event, CheckpointEvent) and event.step == steps for event in events) == 1
    stopped = textgru.load(tmp_path / "run")
    assert stopped.run.scores["step"] == steps, "what was learned is there to use"
    textgru.resume(tmp_path / "run")
    same(tmp_path / "run", whole)


def test_the_weights_of_a_stop_give_way_to_the_plan(text_file, tmp_path, monkeypatch):
    """An evaluation that only the stop brought must not be the best of the run in the end: the run that never stopped
    hasn't it. Here it is better than all that are planned."""
    losses, current = {20: 2.0, 27: 1.0, 40: 3.0, 60: 4.0}, []
    monkeypatch.setattr("textgru.training.trainer.evaluate", lambda *_, **more: Score(losses[current[-1]], 100))

    def train(run, stop_at=None):
        with run:
            for event in run.events():
                if isinstance(event, StepEvent):
                    current.append(event.step)
                    if event.step == stop_at:
                        run.stop()

    settings = {"max_steps": 60, "eval_every": 20}
    train(start(text_file, tmp_path / "whole", **settings))
    train(start(text_file, tmp_path / "run", **settings), stop_at=27)
    assert textgru.load(tmp_path / "run").run.scores["step"] == 27
    assert weights(tmp_path / "run") != weights(tmp_path / "whole")
    train(TrainingRun.resume(tmp_path / "run"))
    assert textgru.load(tmp_path / "run").run.scores["step"] == 20
    same(tmp_path / "run", tmp_path / "whole")


def test_real_kills_and_interrupts(text_file, tmp_path, whole):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**SHAPE, **SETTINGS}.items()]
    out, rng = tmp_path / "run", random.Random(1)
    state = out / "training" / "state.safetensors"
    begin = [sys.executable, "-m", "textgru", "train", str(text_file), "--out", str(out), "--overwrite", *options]
    go_on = [sys.executable, "-m", "textgru", "train", "--resume", str(out)]
    for number in range(6):
        with subprocess.Popen(
            go_on if state.exists() else begin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            for line in process.stdout:
                if line.startswith(b"training"):
                    break
            try:
                process.wait(timeout=rng.uniform(0, 0.15))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGINT if number % 3 == 2 else signal.SIGKILL)
    if state.exists() or not (out / "model.safetensors").exists():
        subprocess.run(go_on if state.exists() else begin, check=True, capture_output=True)
    same(out, whole)
    assert os.listdir(tmp_path) == ["run"], "nothing is left beside it"


def test_averages_and_samples_go_on_as_well(text_file, tmp_path):
    options = {"ema_decay": 0.95, "max_steps": 70, "eval_every": 20, "checkpoint_every": 10}
    for name, stops in (("whole", []), ("run", [11, 25, 41, 55])):
        run = TrainingRun([text_file], tmp_path / name, network=SHAPE, training={**SETTINGS, **options}, sample_every=2)
        for steps in stops:
            abandon(run, steps)
            run = TrainingRun.resume(tmp_path / name)
        with run:
            list(run.events())
    same(tmp_path / "run", tmp_path / "whole")
    samples = [line for line in history(tmp_path / "run") if line["event"] == "sample"]
    assert [sample["step"] for sample in samples] == [40, 70]
    assert len({sample["text"] for sample in samples}) == 2


def test_minutes_count_over_all_sessions(text_file, tmp_path):
    run = start(text_file, tmp_path / "run", max_steps=10**6, max_minutes=0.05)
    abandon(run, 30)
    events = []
    textgru.resume(tmp_path / "run", on_event=events.append)
    assert events[-1].reason == "finished"
    assert 1.5 < events[-1].seconds < 6
    first = next(event for event in events if isinstance(event, StepEvent))
    assert first.progress > 0
    assert events[-1].step > 30


def test_a_full_disk_loses_no_checkpoint(text_file, tmp_path, whole, monkeypatch):
    run, kept = start(text_file, tmp_path / "run"), os.fsync

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def train():
        for event in run.events():
            if isinstance(event, StepEvent) and event.step == 50:
                monkeypatch.setattr(os, "fsync", full)

    with run, pytest.raises(textgru.TextgruError, match=r"state.safetensors: can't be written: No space left"):
        train()
    monkeypatch.setattr(os, "fsync", kept)
    assert textgru.load(tmp_path / "run").run.scores["step"] == 40
    textgru.resume(tmp_path / "run")
    same(tmp_path / "run", whole)


def test_checkpoints_by_the_clock(text_file, tmp_path):
    with start(text_file, tmp_path / "run", checkpoint_every=None, checkpoint_minutes=1e-9, eval_every=1000) as run:
        steps = [event.step for event in run.events() if isinstance(event, CheckpointEvent)]
    assert steps == list(range(1, 130)), "after each step but the last, which ends the training"


def test_what_can_not_be_gone_on_with_is_named(text_file, tmp_path, whole):
    with pytest.raises(textgru.InputError, match=r"no unfinished training; --init-from .* starts a new one"):
        textgru.resume(whole)
    with pytest.raises(textgru.InputError, match="no such run"):
        textgru.resume(tmp_path / "none")
    abandon(start(text_file, tmp_path / "run"), 20)
    with (
        TrainingRun.resume(tmp_path / "run"),
        pytest.raises(textgru.InputError, match="another process is training it"),
    ):
        textgru.resume(tmp_path / "run")
    training = tmp_path / "run" / "training"
    for name, damage in (
        ("tokens.bin", lambda path: path.write_bytes(b"")),
        ("tokens.bin", lambda path: path.write_bytes(b"\xff" * 9000)),
        ("tokens.bin", lambda path: path.unlink()),
        ("state.safetensors", lambda path: path.write_bytes(path.read_bytes()[:2000])),
        ("state.safetensors", lambda path: path.write_bytes(b"nonsense")),
    ):
        shutil.copytree(training, tmp_path / "good")
        damage(training / name)
        with pytest.raises(textgru.InputError, match=name):
            textgru.resume(tmp_path / "run")
        shutil.rmtree(training)
        (tmp_path / "good").rename(training)
    textgru.resume(tmp_path / "run")


def test_what_earlier_versions_left_beside_a_run(text_file, tmp_path, whole):
    """A kill between the two renames by which they replaced a run. Readers say where it is; nobody moves it."""
    shutil.copytree(whole, tmp_path / ".run.old-12345")
    abandoned = tmp_path / ".run.new-12345" / "training"
    abandoned.mkdir(parents=True)
    (abandoned / "lock").touch()
    (tmp_path / ".run.new-77").mkdir()
    (tmp_path / ".run.new-77" / "thesis.txt").touch()
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(textgru.InputError, match=r"no such run; .*\.run\.old-12345 may be it"):
        textgru.load(tmp_path / "run")
    assert sorted(os.listdir(tmp_path)) == before
    with NewRun(tmp_path / "run"):
        assert not abandoned.parent.exists()
    assert sorted(os.listdir(tmp_path)) == [".run.new-77", ".run.old-12345"]


def test_starting_from_another_runs_weights(text_file, tmp_path, whole):
    other = tmp_path / "other.txt"
    other.write_text(sentences(9_000, seed=9), encoding="utf-8")
    first = []
    model = textgru.train(
        other, tmp_path / "run", init_from=whole, max_steps=30, batch_size=8, seq_length=16, learning_rate=1e-5,
        on_event=lambda event: first.append(event),
    )  # fmt: skip
    fresh = textgru.load(whole)
    assert model.network.config == fresh.network.config
    assert model.tokenizer.to_json() == fresh.tokenizer.to_json()
    evaluation = next(event for event in first if isinstance(event, EvaluationEvent))
    assert evaluation.train_loss < fresh.run.scores["val_loss"] + 0.3, "it knows the language from the start"
    assert json.loads((tmp_path / "run" / "config.json").read_text())["init_from"] == str(whole)
    moved = np.abs(model.network.parameters.values - fresh.network.parameters.values).max()
    assert 0 < moved < 0.01


def test_weights_that_do_not_fit_are_refused(text_file, tmp_path, whole):
    for options, message in (
        ({"hidden_size": 32}, "hidden_size: 32 doesn't fit the weights of .*, 24; leave it out"),
        ({"num_layers": 1}, "num_layers: 1 doesn't fit"),
        ({"tokenizer": "byte"}, r"tokenizer: the weights of .* need its own \(char\); leave it out"),
        ({"vocab_size": 500}, "tokenizer: the weights of"),
    ):
        with pytest.raises(textgru.InputError, match=message):
            textgru.train(text_file, tmp_path / "run", init_from=whole, **options)
    with pytest.raises(textgru.InputError, match="no such run"):
        textgru.train(text_file, tmp_path / "run", init_from=tmp_path / "none")
    assert not (tmp_path / "run").exists()
    textgru.train(text_file, tmp_path / "run", init_from=whole, dropout=0.5, max_steps=1, batch_size=8, seq_length=16)


def test_a_run_is_replaced_only_where_there_is_room_for_both(text_file, tmp_path, whole, monkeypatch):
    shutil.copytree(whole, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with (
        TrainingRun([text_file], tmp_path / "run", network=SHAPE, training=SETTINGS, overwrite=True) as run,
        pytest.raises(textgru.TextgruError, match=r"the run in it stays: no room for another, which takes .* MB more"),
    ):
        list(run.events())
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()} == before


def test_threads_and_products_are_those_of_the_run_and_afterwards_those_before(text_file, tmp_path):
    set_num_threads(3)
    abandon(start(text_file, tmp_path / "run", deterministic=True), 20)
    set_num_threads(1)
    before, during = product_kernels(), []
    textgru.resume(tmp_path / "run", on_event=lambda _: during.append(get_num_threads()))
    assert set(during) == {3}
    assert (get_num_threads(), product_kernels()) == (1, before)
    set_product_kernels("blas")
    textgru.train(text_file, tmp_path / "other", deterministic=True, **{**SHAPE, **SETTINGS, "max_steps": 2})
    assert product_kernels() == "blas"
