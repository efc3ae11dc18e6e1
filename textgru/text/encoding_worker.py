"""What each of the processes of textgru.text.encoding_processes does."""

from __future__ import annotations

import contextlib
import sys

from textgru.text.byte_level_tokenizer import ByteLevelTokenizer
from textgru.text.encoding_processes import read_message, write_message
from textgru.text.tokenizer import Tokenizer


def serve() -> None:
    """Encodes the texts that come on standard input, after a tokenizer.json, until there are no more."""
    tokenizer = Tokenizer.from_json(read_message(sys.stdin.buffer).decode())
    assert isinstance(tokenizer, ByteLevelTokenizer)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            ids = tokenizer.words.encode(read_message(sys.stdin.buffer).decode("utf-8", "surrogatepass"))
            write_message(sys.stdout.buffer, ids.tobytes())
