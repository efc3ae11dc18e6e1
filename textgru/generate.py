"""From a prompt to a stream of text. Memory is constant, however long the text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from textgru.network import Network
from textgru.sampling import Sampling
from textgru.tokenizer import Tokenizer

DEFAULT_START = "\n"
PROMPT_STEPS = 256


def stream(
    network: Network, tokenizer: Tokenizer, prompt: str, length: int, sampling: Sampling, rng: np.random.Generator
) -> Iterator[str]:
    """Yields the text of `length` new tokens after the prompt, piece by piece, whole characters only.

    Without a prompt the model starts as at the beginning of a line. The unknown token is never drawn. Bytes at the
    end that make no whole character are left out.
    """
    tokens = tokenizer.encode(prompt or DEFAULT_START)
    if not len(tokens):
        tokens = np.zeros(1, np.intp)
    state = network.initial_state(1)
    for first in range(0, len(tokens) - 1, PROMPT_STEPS):
        state = network.advance(tokens[first : min(first + PROMPT_STEPS, len(tokens) - 1), None], state)
    decoder = tokenizer.decoder()
    token = tokens[-1:].copy()
    for _ in range(length):
        logits = network.step(token, state)[0]
        if tokenizer.unk_id is not None:
            logits[tokenizer.unk_id] = -np.inf
        token[0] = sampling.draw(logits, rng)
        if piece := decoder.feed(int(token[0])):
            yield piece
