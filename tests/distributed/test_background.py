"""Work beside other work."""

import threading

import pytest

from textgru.distributed.background import InBackground


def test_calls_are_made_in_their_order_beside_the_caller():
    may_go, made = threading.Event(), []

    def work(number):
        may_go.wait(60)
        made.append((number, threading.current_thread() is threading.main_thread()))

    background = InBackground(work)
    for number in range(5):
        background.begin(number)
    assert not made
    may_go.set()
    background.finish()
    assert made == [(number, False) for number in range(5)]
    background.finish()  # nothing to wait for


def test_what_a_call_raises_is_raised_when_waited_for_and_more_can_follow():
    def work(number):
        if number == 1:
            raise OSError("no network")

    background = InBackground(work)
    for number in range(3):
        background.begin(number)
    with pytest.raises(OSError, match="no network"):
        background.finish()
    background.begin(2)
    background.finish()
