"""A stop that arrives at any moment loses nothing."""

import copy
import sys

import pytest

import textgru.training.trainer
from tests.training.small import trainer
from textgru.training.events import CheckpointEvent, EndEvent, EvaluationEvent, StepEvent
from textgru.training.moment import Moment
from textgru.training.trainer import Trainer

SETTINGS = {"max_steps": 9, "eval_every": 4, "checkpoint_every": 3, "batch_size": 3, "seq_length": 5}


class Kept:
    """A training, the evaluations whose weights it saved, and its last checkpoint. `called` is told of both."""

    def __init__(self, called=lambda _: None, **settings):
        self.saved, self.state, self.events, self.called = [], None, [], called
        self.trainer = trainer(self.save, checkpoint=self.checkpoint, **{**SETTINGS, **settings})

    def save(self, event):
        self.called("save")
        self.saved.append(event)

    def checkpoint(self):
        self.called("checkpoint")
        self.state = copy.deepcopy(self.trainer.state())

    def train(self):
        for event in self.trainer.events():
            self.events.append(event)
        return self

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]

    def history(self):
        steps = [(event.step, event.loss) for event in self.of(StepEvent)]
        return steps, [(event.step, event.val_loss, event.best) for event in self.of(EvaluationEvent)]


DECIDING = {function.__code__ for function in (Trainer.events, Trainer._moment, Trainer._evaluate)} | {
    one.__code__ for part in vars(Moment).values() if hasattr(one := getattr(part, "fget", part), "__code__")
}


def train_and_stop(run, before):
    """Trains, and stops before the line of this number of those that are run in the functions that decide. The number
    of such lines."""
    lines, outer = 0, sys.gettrace()

    def line(_frame, event, _):
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == before:
                run.trainer.stop()
        return line

    sys.settrace(lambda frame, *_: line if frame.f_code in DECIDING else None)
    try:
        run.train()
    finally:
        sys.settrace(outer)
    return lines


@pytest.mark.parametrize("settings", [{}, {"patience": 1}], ids=str)
def test_before_every_decision(settings):
    """A signal stops a training between steps and evaluations, and between reading one thing and another."""
    settings = {**settings, "max_steps": 4, "eval_every": 2}
    whole = Kept(**settings)
    lines = train_and_stop(whole, None)
    all_steps, all_evaluations = whole.history()
    stopped_after = set()
    for number in range(1, lines + 1):
        run = Kept(**settings)
        train_and_stop(run, number)
        end = run.events[-1]
        assert isinstance(end, EndEvent)
        assert run.saved == [event for event in run.of(EvaluationEvent) if event.best]
        assert end.best == run.saved[-1]
        if end.reason == "stopped":
            stopped_after.add(end.step)
            assert [event.step for event in run.of(CheckpointEvent)].count(end.step) == 1
            steps, evaluations = run.history()
            assert steps == all_steps[: end.step]
            assert evaluations[:-1] == [one for one in all_evaluations if one[0] < end.step]
            assert evaluations[-1][0] == end.step
            gone_on = Kept(**settings)
            gone_on.trainer.restore(*run.state)
            run = gone_on.train()
            steps, evaluations = run.history()
            assert steps == all_steps[end.step :]
            assert evaluations == [one for one in all_evaluations if one[0] > end.step]
        else:
            assert run.history() == whole.history()
        assert run.events[-1].reason == whole.events[-1].reason
        assert run.trainer.best.val_loss == whole.trainer.best.val_loss
        weights = [one.trainer.network.parameters.values.tobytes() for one in (run, whole)]
        assert weights[0] == weights[1]
    assert stopped_after == {step for step, _ in all_steps[:-1]}


@pytest.mark.parametrize("within", ["save", "checkpoint", "evaluate"])
@pytest.mark.parametrize("time", [1, 2])
def test_a_stop_from_within_comes_after_one_more_step(monkeypatch, within, time):
    """What is under way is not disturbed: it was decided before the stop."""
    evaluate, steps = textgru.training.trainer.evaluate, []

    def called(what):
        if what == within:
            steps.append(run.of(StepEvent)[-1].step)
            if len(steps) == time:
                run.trainer.stop()

    monkeypatch.setattr(
        textgru.training.trainer, "evaluate", lambda *given, **more: (called("evaluate"), evaluate(*given, **more))[1]
    )
    run = Kept(called, max_steps=11)
    run.train()
    assert (run.events[-1].reason, run.events[-1].step) == ("stopped", steps[time - 1] + 1)
    assert run.of(CheckpointEvent)[-1].step == steps[time - 1] + 1


def test_a_stop_before_the_first_step():
    run = Kept()
    run.trainer.stop()
    run.train()
    assert (run.events[-1].reason, run.events[-1].step) == ("stopped", 1)
    assert [type(event) for event in run.events] == [StepEvent, CheckpointEvent, EvaluationEvent, EndEvent]


def test_a_step_decides_nothing():
    run = Kept()
    run.trainer.stop()
    events = [run.trainer.train_step() for _ in range(12)]
    assert [event.step for event in events] == list(range(1, 13)), "also beyond the last step that is planned"
    assert run.saved == []
    assert run.state is None


def test_saving_on_a_slow_disk_takes_a_small_part_of_the_minutes(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("textgru.training.trainer.perf_counter", lambda: now[0])

    def passing(seconds):
        now[0] += seconds

    run = trainer(
        saved=lambda _: passing(4), checkpoint=lambda: passing(1), reduce=lambda _, loss: passing(0.1) or loss,
        max_minutes=2, epochs=1e6,
    )  # fmt: skip
    evaluations = [event for event in run.events() if isinstance(event, EvaluationEvent)]
    assert len(evaluations) == 3 + 1  # every 45 seconds after the first, and the last
    assert now[0] <= 120
