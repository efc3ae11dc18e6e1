"""What a benchmark counts; how fast anything is, is no test."""

import json

import numpy as np
import pytest

from benchmarks import common, scale_model
from benchmarks.cells import __main__ as cells
from benchmarks.cells import tasks


def alternate(monkeypatch, nanoseconds, rounds):
    """common.alternate of one side, with these waits between 0 and 150 ns wanted; and how often the side was called."""
    waits, calls = iter(nanoseconds), []
    monkeypatch.setattr(common, "wait_seconds", lambda: 1e-9 * next(waits))
    monkeypatch.setattr(common, "sleep", lambda seconds: None)
    return common.alternate({"side": lambda: calls.append(None)}, rounds, (0, 150)), len(calls)


def test_rounds_that_begin_or_end_in_another_state_do_not_count(monkeypatch):
    seconds, calls = alternate(monkeypatch, [60, 260, 260, 70, 71, 65, 66], 2)
    assert seconds["wait"] == pytest.approx([70e-9, 65e-9])
    assert len(seconds["side"]) == 2
    assert calls == 1 + 3 * 2  # to warm up; two in each round that was begun


def test_a_state_that_does_not_come_is_said(monkeypatch):
    with pytest.raises(SystemExit, match="only 1 of 2 rounds in 20 had such a wait"):
        alternate(monkeypatch, [70, 70] + 19 * [260], 2)


@pytest.mark.parametrize("part", ["gradients", "memory", "language"])
def test_the_cells_are_measured(part, tmp_path, monkeypatch, capsys):
    figures, picture = tmp_path / "figures.json", tmp_path / "plot.svg"
    arguments = ["cells", part, "--quick", "--json", str(figures), "--plot", str(picture)]
    monkeypatch.setattr("sys.argv", arguments)
    cells.main()
    found = json.loads(figures.read_text())
    assert {"gradients": "paths", "memory": "tasks", "language": "sides"}[part] in found
    assert picture.read_text().lstrip().startswith("<?xml")
    table = capsys.readouterr().out
    assert "GRU" in table
    assert "LSTM" in table


def test_the_tasks_ask_what_they_say():
    rng = np.random.default_rng(0)
    x, _, numbers = tasks.adding(12, 5, rng)
    assert np.allclose((x[:, :, 0] * x[:, :, 1]).sum(axis=0), numbers)
    x, classes, _ = tasks.copy(7, 4, rng)
    assert np.array_equal(x[:5].argmax(axis=2), classes[-5:])
    assert (classes[:-5] == -100).all()
    text = 'He said "yes and no and so on" and went. "Well then, well then," she said, and went. ' * 20
    quotes = tasks.Quotes(text)
    x, classes, _ = quotes.batch(6, 50, rng)
    characters = sorted({*text})
    for b in range(50):
        shown = "".join(characters[i] if x[t, b].any() else "?" for t, i in enumerate(x[:, b].argmax(axis=1)))
        assert shown.count('"') == 1
        assert classes[-1, b] == (shown[21] != " ")


def test_the_model_of_scale():
    link = scale_model.Link(rate=1e9, delay=1e-3)
    wire = 8 * 10e6 / (1e9 * 1448 / 1514)  # all of the gradients once, between two
    assert scale_model.all_reduce_seconds(10_000_000, 2, link) == pytest.approx(wire + 6e-3, rel=0.02)
    assert scale_model.all_reduce_seconds(10_000_000, 64, link) == pytest.approx(
        2 * 63 / 64 * wire + 63 * 6e-3, rel=0.02
    )
    own = {32 // machines: 1.0 / machines for machines in (1, 2, 4, 8, 16, 32)}
    fast = scale_model.Link(rate=1e15, delay=0)
    assert scale_model.speedups(own, 4, fast, grows=True) == pytest.approx([2, 4, 8, 16, 32, 64])
    *shared, none = scale_model.speedups(own, 4, fast, grows=False)
    assert shared == pytest.approx([2, 4, 8, 16, 32])
    assert none is None  # half a row each
    every = scale_model.speedups(own, 10_000_000, link, grows=True)
    rarely = scale_model.speedups(own, 10_000_000, link, grows=True, sync_every=32)
    assert all(few < many for few, many in zip(every, rarely, strict=True))
    # Half of the gradients beside the first layer's backward pass, a third of the step, which is long enough for them.
    step = scale_model.step_seconds(0.5, 10_000_000, 2, link, early=[5_000_000])
    copied = 5_000_000 / 2 * (2 * scale_model.COPYING + scale_model.ADDING)
    assert step == pytest.approx(0.5 + copied + scale_model.all_reduce_seconds(5_000_000, 2, link) + 2e-3)
    without = scale_model.step_seconds(0.0, 10_000_000, 2, link)
    assert scale_model.step_seconds(0.0, 10_000_000, 2, link, early=[5_000_000]) == pytest.approx(without, rel=0.1)
    assert scale_model.early_bytes("medium") == []  # one layer
    [upper] = scale_model.early_bytes("large")
    assert scale_model.gradient_bytes("large") / 2 < upper < scale_model.gradient_bytes("large")
    rows = scale_model.rows_needed(own, 10_000_000, link)
    sharing = scale_model.step_seconds(0, 10_000_000, 64, link)
    assert (rows - 1) / 32 < 4 * sharing <= rows / 32  # four fifths of the time are for computing
