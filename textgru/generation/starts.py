"""What a text goes on from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from textgru.generation.draws import Arrays, Memory, read_prompt
from textgru.model.ensemble import Packed
from textgru.text.tokenizer import Tokenizer

DEFAULT_START = "\n"
RECENT = 1 << 14  # tokens at the end of a text that are kept for the decoder and the sampling controls


@dataclass(frozen=True)
class Start:
    """What a text goes on from: `state` arrays (L, 1, H) after all tokens but the last, `token` the last, `recent` up
    to 16,384 tokens of the text at its end; `drawn` and `mu` are those of textgru.generation.draws.Memory."""

    state: Arrays
    token: int
    recent: tuple[int, ...]
    drawn: int = 0
    mu: float | None = None

    @property
    def memory(self) -> Memory:
        """What the sampling controls know of it."""
        return Memory(np.array(self.recent or [self.token], np.intp), self.drawn, self.mu)


def begin(packed: Packed, tokenizer: Tokenizer, prompt: str, *, from_eos: bool = True) -> Start:
    """The start of a text with this prompt.

    Without a prompt the model starts as after the end of a document, if its tokenizer has a token for that and
    `from_eos` is true, else as at the beginning of a line.
    """
    tokens = first_tokens(tokenizer, prompt, from_eos=from_eos)
    recent = tuple(tokens[-RECENT:].tolist()) if prompt else ()
    return Start(read_prompt(packed, tokens), int(tokens[-1]), recent)


def first_tokens(tokenizer: Tokenizer, prompt: str, *, from_eos: bool = True) -> np.ndarray:
    """The tokens (n,), at least one, that a text with this prompt begins with."""
    tokens = tokenizer.encode(prompt or DEFAULT_START)
    if not prompt and from_eos and tokenizer.eos_id is not None:
        tokens = np.array([tokenizer.eos_id], np.intp)
    return tokens if len(tokens) else np.zeros(1, np.intp)


def follow(packed: Packed, tokenizer: Tokenizer, start: Start, text: str) -> Start:
    """The same after a text has been read."""
    tokens = tokenizer.encode(text)
    if not len(tokens):
        return start
    state = read_prompt(packed, np.concatenate([np.array([start.token], np.intp), tokens]), start.state)
    recent = (*start.recent, *tokens.tolist())[-RECENT:]
    return replace(start, state=state, token=int(tokens[-1]), recent=recent)
