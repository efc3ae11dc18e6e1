"""The training loop: its schedule, its limits, what it keeps, and that it learns."""

import math
from time import perf_counter

import numpy as np
import pytest

import textgru.training.trainer
from tests.training.small import CYCLE, trainer
from textgru.analysis.evaluate import Score
from textgru.core import AdamW
from textgru.errors import InputError, TextgruError
from textgru.training.config import TrainingConfig
from textgru.training.events import CheckpointEvent, EndEvent, EvaluationEvent, StepEvent


def test_it_learns_a_cycle():
    saved = []
    events = list(trainer(saved, max_steps=300).events())
    evaluations = [event for event in events if isinstance(event, EvaluationEvent)]
    assert evaluations[0].val_loss > 0.8
    assert events[-1].best.val_loss < 0.1
    assert evaluations[-1].train_loss < 0.1
    assert evaluations[-1].bits_per_char == pytest.approx(evaluations[-1].val_loss / math.log(2))


def test_events_come_in_order_and_the_best_is_saved():
    saved = []
    run = trainer(saved, max_steps=50, eval_every=20)
    events = list(run.events())
    kinds = [(type(event), event.step) for event in events if not isinstance(event, StepEvent)]
    assert kinds == [
        (EvaluationEvent, 20), (CheckpointEvent, 20), (EvaluationEvent, 40), (CheckpointEvent, 40),
        (EvaluationEvent, 50), (EndEvent, 50),
    ]  # fmt: skip
    steps = [event for event in events if isinstance(event, StepEvent)]
    assert [event.step for event in steps] == list(range(1, 51))
    assert steps[-1].progress == 1
    assert steps[-1].tokens_seen == 50 * 100
    assert [event for event, _ in saved] == [e for e in events if isinstance(e, EvaluationEvent) and e.best]
    assert events[-1].best == min((event for event, _ in saved), key=lambda event: event.val_loss)
    assert events[-1].reason == "finished"


def test_a_worse_evaluation_is_not_saved():
    """The held-out text is the opposite of what is learned: validation gets worse."""
    saved = []
    backward = np.ascontiguousarray(CYCLE[::-1][:500])
    events = list(trainer(saved, validation=backward, max_steps=200, eval_every=20).events())
    evaluations = [event for event in events if isinstance(event, EvaluationEvent)]
    assert not evaluations[-1].best
    lowest = min(evaluations, key=lambda event: event.val_loss)
    assert saved[-1][0] == lowest == events[-1].best


def test_without_held_out_text_the_last_weights_are_kept():
    saved = []
    events = list(trainer(saved, validation=CYCLE[:0], max_steps=40, eval_every=15).events())
    assert [event.step for event, _ in saved] == [15, 30, 40]
    assert events[-1].best.val_loss is None


def test_same_seed_same_bits():
    weights = []
    for seed in (1, 1, 2):
        run = trainer([], max_steps=30, seed=seed)
        list(run.events())
        weights.append(run.network.parameters.values.tobytes())
    assert weights[0] == weights[1] != weights[2]


def test_learning_rate_rises_and_falls():
    config = TrainingConfig(learning_rate=1.0, min_lr=0.1, warmup=9, schedule="cosine")
    assert config.lr_at(0, 0.0) == pytest.approx(0.1)
    assert config.lr_at(4, 0.0) == pytest.approx(0.5)
    assert config.lr_at(9, 0.0) == pytest.approx(1.0)
    assert config.lr_at(100, 0.5) == pytest.approx(0.55)
    assert config.lr_at(100, 1.0) == pytest.approx(0.1)
    assert TrainingConfig(learning_rate=1.0, schedule="cosine").lr_at(1000, 1.0) == pytest.approx(0.05)
    assert TrainingConfig(learning_rate=1.0).lr_at(1000, 1.0) == 1


def test_gradients_are_clipped(monkeypatch):
    scales = []

    class Recorded(AdamW):
        def step(self, *, lr=None, gradient_scale=1.0):
            scales.append(gradient_scale)
            super().step(lr=lr, gradient_scale=gradient_scale)

    monkeypatch.setattr(textgru.training.optimizers, "AdamW", Recorded)
    events = list(trainer([], max_steps=40, grad_clip=0.34, optimizer="adamw").events())
    norms = [event.gradient_norm for event in events if isinstance(event, StepEvent)]
    assert min(norms) < 0.34 < max(norms), "both cases occur"
    assert scales == pytest.approx([min(1.0, 0.34 / norm) for norm in norms])


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        ({"max_steps": 7}, 7),
        ({"epochs": 2.0}, 2 * 54),
        ({"epochs": 0.5}, 27),
        ({"epochs": 2.0, "max_steps": 7}, 7),
        ({"max_minutes": 1.0}, 60 * 54),
        ({"max_minutes": 1.0, "max_steps": 7}, 7),
        ({}, 20 * 54),
    ],
    ids=str,
)
def test_the_limit_of_steps(settings, steps):
    assert trainer(**settings).max_steps == steps


def test_a_long_text_gets_twenty_million_tokens_by_default():
    assert TrainingConfig(batch_size=50, seq_length=100).step_limit(20_000) == 4000
    assert TrainingConfig(batch_size=50, seq_length=100, max_minutes=60).step_limit(20_000) == 1_200_000


def test_the_average_of_the_weights_is_evaluated_and_saved():
    saved, seen = [], []
    run = trainer(saved, max_steps=60, eval_every=20, ema_decay=0.9)
    wanted = None
    for event in run.events():
        if isinstance(event, StepEvent):
            decay = min(0.9, (event.step - 1) / (event.step + 8))
            now = run.network.parameters.values.astype(np.float64)
            wanted = now if wanted is None else decay * wanted + (1 - decay) * now
            seen.append(wanted)
    event, weights = saved[-1]
    np.testing.assert_allclose(weights, seen[event.step - 1], atol=1e-5)
    assert np.abs(weights - run.network.parameters.values).max() > 1e-4, "training goes on with its own"
    run.network.parameters.values[...] = weights
    assert textgru.training.trainer.evaluate(run.network, CYCLE[-500:]).loss == pytest.approx(event.val_loss, rel=1e-6)


def test_minutes_end_the_training_and_decay_the_learning_rate():
    """Bounds are wide: a busy machine must not fail this."""
    begin = perf_counter()
    events = list(trainer([], max_minutes=1.5 / 60, epochs=1e6, schedule="cosine").events())
    assert perf_counter() - begin < 10
    steps = [event for event in events if isinstance(event, StepEvent)]
    assert steps[-1].seconds > 0.5
    assert steps[-1].learning_rate < 0.2 * max(event.learning_rate for event in steps)
    assert isinstance(events[-1], EndEvent)
    assert isinstance(events[-2], EvaluationEvent)


def test_stop_ends_after_the_step_with_an_evaluation():
    saved = []
    run = trainer(saved, max_steps=1000)
    events = []
    for event in run.events():
        events.append(event)
        if event.step == 3:
            run.stop()
    assert [type(event) for event in events[-2:]] == [EvaluationEvent, EndEvent]
    assert events[-1].step == 3
    assert events[-1].reason == "stopped"
    assert len(saved) == 1


def test_a_loss_that_is_not_finite_ends_the_training_and_keeps_the_last_good_weights():
    saved = []
    run = trainer(saved, max_steps=100, eval_every=10)

    def train():
        for event in run.events():
            if event.step == 15:
                run.network.parameters.values[:] = np.nan

    with pytest.raises(TextgruError, match=r"step 16: .*weights of step 10 are kept; try a lower --learning-rate"):
        train()
    assert np.isfinite(saved[-1][1]).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"seq_length": 1.5}, "seq_length"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"min_lr": -1}, "min_lr"),
        ({"min_lr": 1.0}, "min_lr: 1.0 is above learning_rate, 0.004"),
        ({"warmup": -1}, "warmup"),
        ({"epochs": 0}, "epochs"),
        ({"max_minutes": -1}, "max_minutes"),
        ({"grad_clip": 0}, "grad_clip"),
        ({"ema_decay": 1}, "ema_decay"),
        ({"seed": -1}, "seed"),
    ],
    ids=str,
)
def test_impossible_settings_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        TrainingConfig(**settings)


def scripted(monkeypatch, losses):
    """Evaluations give these losses, one after the other, then the last one again and again."""
    values = iter(losses)
    last = [losses[-1]]
    monkeypatch.setattr(textgru.training.trainer, "evaluate", lambda *_, **more: Score(next(values, last[0]), 100))


def test_patience_ends_the_training(monkeypatch):
    scripted(monkeypatch, [3.0, 2.0, 2.1, 1.9, 2.0, 2.2, 2.0])
    events = list(trainer([], max_steps=500, eval_every=10, patience=3).events())
    assert (events[-1].reason, events[-1].step, events[-1].best.step) == ("out of patience", 70, 40)
    scripted(monkeypatch, [3.0, 2.0, 2.1, 1.9, 2.0, 2.2, 1.8])
    assert list(trainer([], max_steps=70, eval_every=10, patience=3).events())[-1].reason == "finished"


def rates(run):
    return [event.learning_rate for event in run.events() if isinstance(event, StepEvent)]


def test_a_constant_learning_rate(monkeypatch):
    assert rates(trainer([], max_steps=40, warmup=4, schedule="constant")) == pytest.approx(
        [0.002, 0.004, 0.006, 0.008, *[0.01] * 36]
    )


def test_a_plateau_halves_the_learning_rate(monkeypatch):
    scripted(monkeypatch, [3.0, 2.0, 2.5, 2.5, 2.5, 2.5, 1.0, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5])
    got = rates(trainer([], max_steps=150, eval_every=10, warmup=0, schedule="plateau", min_lr=0.001))
    # Two evaluations without progress after those at 20 and 40, none at 70, then two at a time, down to min_lr.
    assert got[::10] == pytest.approx(
        [0.01, 0.01, 0.01, 0.01, 0.005, 0.005, 0.0025, 0.0025, 0.0025, 0.00125, 0.00125, 0.001, 0.001, 0.001, 0.001]
    )


def test_a_spike_is_left_out_and_counted(monkeypatch):
    """One gradient of a thousand times the usual norm: the weights don't follow it."""
    run, calls = trainer([], max_steps=80), []
    norm = textgru.training.trainer.gradient_norm

    def spiking(parameters):
        calls.append(run.network.parameters.values.copy())
        return norm(parameters) * (1000 if len(calls) == 61 else 1)

    monkeypatch.setattr(textgru.training.trainer, "gradient_norm", spiking)
    events = list(run.events())
    assert events[-1].spikes == 1
    assert np.array_equal(calls[60], calls[61]), "step 61 changed nothing"
    assert not np.array_equal(calls[61], calls[62])


def test_gradients_that_stay_large_are_the_new_usual(monkeypatch):
    run, calls = trainer([], max_steps=80), []
    norm = textgru.training.trainer.gradient_norm

    def larger(parameters):
        calls.append(0)
        return norm(parameters) * (1000 if len(calls) > 60 else 1)

    monkeypatch.setattr(textgru.training.trainer, "gradient_norm", larger)
    assert list(run.events())[-1].spikes == 3


def test_an_ordinary_training_has_no_spikes():
    assert list(trainer([], max_steps=300).events())[-1].spikes == 0
