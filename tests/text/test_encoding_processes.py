"""Long texts are encoded by several processes, to the same ids."""

import os
import signal

import numpy as np
import pytest

import textgru.text.byte_level_tokenizer
import textgru.text.encoding_processes
import textgru.text.word_encoder
from tests.texts import MIXED, sentences
from textgru.core import set_num_threads
from textgru.errors import TextgruError
from textgru.text.encoding_processes import encode_in_processes
from textgru.text.tokenizer import Tokenizer

TEXT = sentences(20_000) + MIXED
BPE = Tokenizer.train("bpe", lambda: [TEXT], vocab_size=400)
TEXTS = [TEXT[i : i + 500] for i in range(0, len(TEXT), 500)]


@pytest.fixture
def started(monkeypatch):
    """The processes that are started."""
    processes, start = [], textgru.text.encoding_processes._start

    def remember():
        processes.append(start())
        return processes[-1]

    monkeypatch.setattr(textgru.text.encoding_processes, "_start", remember)
    return processes


def encode(texts, count=2):
    return encode_in_processes(BPE.to_json(), texts, BPE.id_type, count)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4, 20])
def test_the_ids_come_in_the_order_of_the_texts(number, started):
    got = list(encode(TEXTS[:number], 3))
    assert [ids.tolist() for ids in got] == [BPE.encode(text).tolist() for text in TEXTS[:number]]
    assert [process.poll() is not None for process in started] == [True] * 3, "none is left behind"


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_ids_of_a_long_text_are_the_same_for_any_number_of_threads(threads, monkeypatch, started):
    monkeypatch.setattr(textgru.text.word_encoder, "PIECE", 50)
    monkeypatch.setattr(textgru.text.byte_level_tokenizer, "ALONE", 2)
    set_num_threads(threads)
    assert np.concatenate(list(BPE.encode_blocks([TEXT]))).tolist() == BPE.backend.encode(TEXT).ids
    assert len(started) == (threads if threads > 1 else 0)


def test_a_short_text_starts_none(started):
    assert len(list(BPE.encode_blocks([TEXT]))) == 1
    assert started == []


def test_what_is_given_up_halfway_leaves_none_behind(started):
    ids = encode(TEXTS)
    next(ids)
    ids.close()
    assert [process.poll() is not None for process in started] == [True, True]


def test_a_process_that_is_killed_is_a_failure_of_one_line(started):
    ids = encode(TEXTS)
    next(ids)
    os.kill(started[1].pid, signal.SIGKILL)
    started[1].wait()
    with pytest.raises(
        TextgruError, match="encodes a part of the text has failed: it was killed by signal 9; .*--threads"
    ):
        list(ids)


def test_a_process_that_can_t_be_started_leaves_none_behind(started, monkeypatch):
    start = textgru.text.encoding_processes._start

    def fail_later():
        if started:
            raise TextgruError("encoding: can't start a process")
        return start()

    monkeypatch.setattr(textgru.text.encoding_processes, "_start", fail_later)
    with pytest.raises(TextgruError, match="can't start"):
        list(encode(TEXTS))
    assert [process.poll() is not None for process in started] == [True]


def test_one_line_says_that_no_process_can_be_started(monkeypatch):
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(TextgruError, match="can't start a process .*No such file.*--threads 1"):
        list(encode(TEXTS))
