"""metrics.jsonl, read back, and its curves."""

import json

import numpy as np
import pytest

import textgru
from tests.texts import sentences
from textgru.errors import InputError
from textgru.runs.metrics import loss_range, read_curves, read_metrics, run_names


def step(number, loss=2.0, **more):
    return {
        "event": "step", "step": number, "loss": loss, "learning_rate": 0.001 * number, "tokens_seen": 100 * number,
        "seconds": 6.0 * number, **more,
    }  # fmt: skip


def evaluation(number, val_loss):
    return {
        "event": "evaluation", "step": number, "train_loss": 3.0, "val_loss": val_loss, "tokens_seen": 100 * number,
        "seconds": 6.0 * number,
    }  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Makes a run of these events, or lines; its directory."""

    def made(*events, name="run", end="\n"):
        folder = tmp_path / name
        folder.mkdir()
        lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
        (folder / "metrics.jsonl").write_text("\n".join(lines) + end, encoding="utf-8")
        return folder

    return made


def test_a_training_is_read_as_it_went(tmp_path):
    file, events = tmp_path / "text.txt", []
    file.write_text(sentences(5_000))
    textgru.train(
        file, tmp_path / "run", max_steps=40, hidden_size=8, batch_size=4, seq_length=8, on_event=events.append
    )
    curves = read_curves([tmp_path / "run"])[0]
    losses = {event.step: event.loss for event in events if hasattr(event, "learning_rate")}
    validated = {event.step: event.val_loss for event in events if hasattr(event, "val_loss")}
    assert dict(zip(curves.training.x.tolist(), curves.training.y.tolist(), strict=True)) == {
        number: losses[number] for number in (10, 20, 30, 40)
    }
    assert dict(zip(curves.validation.x.tolist(), curves.validation.y.tolist(), strict=True)) == validated
    assert curves.best == min(validated.values())
    assert validated[curves.best_step] == curves.best


@pytest.mark.parametrize(("x", "expected"), [("steps", [10, 20]), ("tokens", [1000, 2000]), ("minutes", [1, 2])])
def test_over_steps_tokens_and_minutes(write, x, expected):
    curves = read_curves([write(step(10), evaluation(10, 2.5), step(20), evaluation(20, 2.0))], x)[0]
    for line in (curves.training, curves.smoothed, curves.validation, curves.learning_rate):
        assert line.x.tolist() == expected


def test_the_training_loss_is_smoothed_without_a_lag(write):
    losses = 5 - np.arange(400) / 100
    noise = np.tile([0.5, -0.5], 200)
    curves = read_curves([write(*(step(i + 1, float(losses[i] + noise[i])) for i in range(400)))])[0]
    inside = slice(20, -20)
    assert np.abs(curves.training.y - losses)[inside].min() > 0.4
    assert np.abs(curves.smoothed.y - losses)[inside].max() < 0.06


@pytest.mark.parametrize("rest", ['{"event": "step", "st', '{"event": "evaluation", "step": 12', "\0\0\0", '"', ""])
def test_a_last_line_that_is_not_whole_is_left_out(write, rest):
    assert [event.step for event in read_metrics(write(step(10), step(20), rest, end="")).steps] == [10, 20]


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "7", '{"step": 3}', json.dumps(step(15, loss="low")), json.dumps(step(15, loss=None)),
     '{"event": "evaluation"}', "[" * 100_000, json.dumps({**step(15), "step": -5}),
     json.dumps({**step(15), "step": True}), json.dumps({**step(15), "seconds": "now"}), "1" * 5000,
     json.dumps({**step(15), "step": 10**400})],
    ids=["cut", "list", "number", "no event", "text", "null", "empty", "deep", "negative", "a bool", "a word", "digits",
         "huge"],
)  # fmt: skip
def test_other_damage_is_told_with_its_line(write, line):
    with pytest.raises(InputError, match=r"metrics.jsonl: damaged: line 2 is no event"):
        read_metrics(write(step(10), line, step(20)))


def test_what_is_not_finite_is_left_out(write):
    """A training that went wrong wrote it, not damage."""
    nan, inf = float("nan"), float("inf")
    found = read_metrics(write(step(10), step(20, loss=nan), evaluation(20, nan), evaluation(30, -inf), step(30)))
    assert [event.step for event in found.steps] == [10, 30]
    assert [event.val_loss for event in found.evaluations] == [None, None]


def test_events_of_other_kinds_are_passed_over(write):
    assert len(read_metrics(write({"event": "something new"}, step(10))).steps) == 1


def test_what_is_no_run_is_told(tmp_path, write):
    with pytest.raises(InputError, match="no such run"):
        read_metrics(tmp_path / "none")
    with pytest.raises(InputError, match="is not a run directory"):
        read_metrics(tmp_path)
    (tmp_path / "config.json").touch()
    with pytest.raises(InputError, match="has no metrics.jsonl"):
        read_metrics(tmp_path)
    with pytest.raises(InputError, match="nothing is noted yet"):
        read_curves([write("", end="")])


def test_the_best_comes_first(write):
    runs = [
        write(step(10), name="unmeasured"),
        write(step(10), evaluation(10, 2.0), name="worse"),
        write(step(10), evaluation(10, 1.0), evaluation(20, 3.0), name="better"),
    ]
    assert [curves.name for curves in read_curves(runs)] == ["better", "worse", "unmeasured"]


def test_runs_of_one_name_are_told_apart(tmp_path):
    assert run_names(["a/x", "b/x", "c/y/"]) == ["a/x", "b/x", "y"]


def test_the_range_leaves_the_first_fall_out(write):
    falling = [step(i, 100.0 if i < 4 else 2.0 + 1 / i) for i in range(1, 101)]
    low, high = loss_range(read_curves([write(*falling)]))
    assert 1.9 < low < 2.01
    assert 2.2 < high < 2.3
