"""Long calls that can be interrupted."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from textgru.text.interruptible import feed

LEARN = """
import random, sys
from textgru.cli import main
path = sys.argv[1]
with open(path, "w") as file:
    file.write("".join(random.Random(0).choices("ACGT", k=6_000_000)))
main(["train", path, "--out", path + ".run", "--tokenizer", "bpe", "--vocab-size", "20000", "--no-cache"])
"""


def test_it_does_the_work():
    got = []
    feed(got.extend, iter(range(5)))
    assert got == [0, 1, 2, 3, 4]


def test_what_the_work_or_the_items_raise_is_raised():
    def items():
        yield 1
        raise ValueError("of the items")

    with pytest.raises(ValueError, match="of the items"):
        feed(list, items())
    with pytest.raises(ZeroDivisionError):
        feed(lambda items: print(1 // 0), [])


def test_an_interrupted_work_gets_no_more_items():
    given, ended, go_on = [], threading.Event(), threading.Event()

    def items():
        for i in range(10**9):
            given.append(i)
            yield i
            if i == 10:
                os.kill(os.getpid(), signal.SIGINT)
                go_on.wait(30)

    def work(items):
        try:
            list(items)
        finally:
            ended.set()

    def interrupted(*_):
        go_on.set()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            feed(work, items())
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.wait(30)
    assert len(given) < 10**6


def test_a_wait_that_fails_ends_the_waiting():
    go_on = threading.Event()

    def fail():
        go_on.set()
        raise KeyboardInterrupt

    def work(items):
        list(items)
        go_on.wait(30)

    with pytest.raises(KeyboardInterrupt):
        feed(work, [1], fail)


@pytest.mark.skipif(os.name == "nt", reason="no signals to send")
def test_ctrl_c_ends_learning_at_once(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", LEARN, str(tmp_path / "text.txt")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("tokenizer "), "what takes longer than a second is told"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.strip() == "textgru: error: interrupted"
    assert list(tmp_path.iterdir()) == [tmp_path / "text.txt"], "nothing is left of the run"
