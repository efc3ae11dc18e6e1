"""Encodes the pieces of a long text side by side, in processes of their own: Python runs on one core in each."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import IO, Any

import numpy as np

from textgru.errors import TextgruError

SECONDS_TO_END = 5.0  # for a process that has closed its pipes
ALONE = "if memory is short, --threads 1 does without such processes"

# Ctrl-C is for the process that started this one; when that is gone, the input ends.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from textgru.text.encoding_worker import serve
serve()
"""


def encode_in_processes(tokenizer: str, texts: Iterable[str], id_type: Any, count: int) -> Iterator[np.ndarray]:
    """The ids of every text, in their order, by the byte-level tokenizer in the text of a tokenizer.json.

    `count` texts are encoded at a time. Raises TextgruError if the processes can't be started, or end.
    """
    with contextlib.ExitStack() as stack:
        processes: deque[subprocess.Popen[bytes]] = deque()
        for _ in range(count):
            processes.append(_start())
            stack.callback(_end, processes[-1])
        for process in processes:
            _send(process, tokenizer.encode())
        waiting = 0
        for text in texts:
            if waiting == count:
                yield np.frombuffer(_receive(processes[0]), id_type)
                waiting -= 1
            _send(processes[0], text.encode("utf-8", "surrogatepass"))
            processes.rotate(-1)
            waiting += 1
        processes.rotate(waiting)
        for process in list(processes)[:waiting]:
            yield np.frombuffer(_receive(process), id_type)


def _start() -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(path=sys.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "RAYON_NUM_THREADS": "1"},
        )  # fmt: skip
    except OSError as error:
        raise TextgruError(f"encoding: can't start a process to encode a part of the text: {error}; {ALONE}") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _send(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    try:
        write_message(process.stdin, data)
    except OSError as error:
        raise _failure(process) from error


def _receive(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    try:
        return read_message(process.stdout)
    except (OSError, EOFError) as error:
        raise _failure(process) from error


def _failure(process: subprocess.Popen[bytes]) -> TextgruError:
    """What became of a process that does not answer."""
    try:
        code = process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return TextgruError(f"encoding: a process that encodes a part of the text has failed: it {how}; {ALONE}")


def write_message(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(struct.pack("<Q", len(data)))
    pipe.write(data)
    pipe.flush()


def read_message(pipe: IO[bytes]) -> bytes:
    header = pipe.read(8)
    data = pipe.read(struct.unpack("<Q", header)[0]) if len(header) == 8 else b""
    if len(header) < 8 or len(data) < struct.unpack("<Q", header)[0]:
        raise EOFError("it ended")
    return data
