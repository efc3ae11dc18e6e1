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

# Ctrl-C is for the process that started this one; when that is gone, the input ends.
PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.path[:] = {path!r}
from textgru.encoding_processes import serve
serve()
"""


def encode_in_processes(tokenizer: str, texts: Iterable[str], id_type: Any, count: int) -> Iterator[np.ndarray]:
    """The ids of every text, in their order, by the byte-level tokenizer in the text of a tokenizer.json.

    `count` texts are encoded at a time. Raises TextgruError if the processes can't be started, or end.
    """
    with contextlib.ExitStack() as stack:
        processes: deque[subprocess.Popen[bytes]] = deque()
        try:
            for _ in range(count):
                processes.append(_start(tokenizer))
                stack.callback(_end, processes[-1])
            waiting = 0
            for text in texts:
                if waiting == count:
                    yield np.frombuffer(_receive(processes[0].stdout), id_type)
                    waiting -= 1
                _send(processes[0].stdin, text.encode("utf-8", "surrogatepass"))
                processes.rotate(-1)
                waiting += 1
            processes.rotate(waiting)
            for process in list(processes)[:waiting]:
                yield np.frombuffer(_receive(process.stdout), id_type)
        except (OSError, EOFError) as error:
            raise TextgruError(f"encoding: a process that encodes a part of the text has failed: {error}") from error


def serve() -> None:
    """What each of the processes does."""
    from textgru.tokenizer import ByteLevelTokenizer, Tokenizer

    tokenizer = Tokenizer.from_json(_receive(sys.stdin.buffer).decode())
    assert isinstance(tokenizer, ByteLevelTokenizer)
    with contextlib.suppress(EOFError):
        while True:
            ids = tokenizer.words.encode(_receive(sys.stdin.buffer).decode("utf-8", "surrogatepass"))
            _send(sys.stdout.buffer, ids.tobytes())


def _start(tokenizer: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(path=sys.path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "RAYON_NUM_THREADS": "1"},
    )  # fmt: skip
    _send(process.stdin, tokenizer.encode())
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


def _send(pipe: IO[bytes] | None, data: bytes) -> None:
    assert pipe is not None
    pipe.write(struct.pack("<Q", len(data)))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> bytes:
    assert pipe is not None
    header = pipe.read(8)
    data = pipe.read(struct.unpack("<Q", header)[0]) if len(header) == 8 else b""
    if len(header) < 8 or len(data) < struct.unpack("<Q", header)[0]:
        raise EOFError("it ended")
    return data
