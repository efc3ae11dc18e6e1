"""From a prompt to a stream of text. Memory is constant, however long the text."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from time import perf_counter

import numpy as np

from textgru.core import PackedNetwork, Session
from textgru.errors import TextgruError
from textgru.generation.sampling import Sampling
from textgru.text.tokenizer import Tokenizer

DEFAULT_START = "\n"
FEWEST_AT_A_TIME, LONGEST_AT_A_TIME = 16, 0.01  # tokens, seconds: drawn in one call; more tokens while it is shorter


def draw_tokens(
    packed: PackedNetwork,
    prompt: np.ndarray,
    length: int,
    sampling: Sampling,
    rng: np.random.Generator,
    *,
    never: int | None = None,
) -> Generator[int, None, None]:
    """Yields `length` tokens drawn one after another, following the tokens (n,) intp of the prompt, n at least 1.

    The token `never`, where given, is not drawn. Each token takes one number from `rng`, however many are drawn.
    """
    session = Session(packed)
    session.read(prompt[:-1])
    token = int(prompt[-1])
    if sampling.plain:
        at_a_time = FEWEST_AT_A_TIME
        while length > 0:
            before = rng.bit_generator.state
            u = rng.random(min(at_a_time, length))
            began = perf_counter()
            try:
                drawn = session.generate(token, u, sampling.temperature, -1 if never is None else never).tolist()
            except ValueError as error:
                raise TextgruError("the model gives no finite scores to draw from: its weights are damaged") from error
            if perf_counter() - began < LONGEST_AT_A_TIME / 2:
                at_a_time *= 2
            used = 0
            try:
                for token in drawn:
                    used += 1
                    yield token
            finally:
                if used < len(drawn):  # it ends early: numbers that no token took, which the clock chose, go back
                    rng.bit_generator.state = before
                    rng.random(used)
            length -= len(drawn)
        return
    for _ in range(length):
        session.step(token)
        if never is not None:
            session.logits[0, never] = -np.inf
        token = sampling.draw(session.logits[0], rng)
        yield token


def stream(
    packed: PackedNetwork,
    tokenizer: Tokenizer,
    prompt: str,
    length: int,
    sampling: Sampling,
    rng: np.random.Generator,
    *,
    from_eos: bool = True,
) -> Iterator[str]:
    """Yields the text of `length` new tokens after the prompt, piece by piece, whole characters only; less where the
    token is drawn that ends a document.

    Without a prompt the model starts as after the end of a document, if its tokenizer has a token for that and
    `from_eos` is true, else as at the beginning of a line. The unknown token is never drawn. Bytes at the end that make
    no whole character are left out.
    """
    tokens = tokenizer.encode(prompt or DEFAULT_START)
    if not prompt and from_eos and tokenizer.eos_id is not None:
        tokens = np.array([tokenizer.eos_id], np.intp)
    if not len(tokens):
        tokens = np.zeros(1, np.intp)
    decoder = tokenizer.decoder(tokens if prompt else None)
    drawn = draw_tokens(packed, tokens, length, sampling, rng, never=tokenizer.unk_id)
    with closing(drawn):
        for token in drawn:
            if token == tokenizer.eos_id:
                return
            if piece := decoder.feed(token):
                yield piece
