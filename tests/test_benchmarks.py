"""What a benchmark counts; how fast anything is, is no test."""

import pytest

from benchmarks import common


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
