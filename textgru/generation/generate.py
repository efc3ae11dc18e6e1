"""From a prompt to a stream of text. Memory is constant, however long the text."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from time import perf_counter

import numpy as np

from textgru.core import PackedNetwork, Session
from textgru.errors import TextgruError
from textgru.generation.sampling import NOT_FINITE, NOTHING_LEFT, Sampling
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
    eos: int | None = None,
) -> Generator[int, None, None]:
    """Yields `length` tokens drawn one after another, following the tokens (n,) intp of the prompt, n at least 1.

    The token `never`, where given, is not drawn; `eos` is the one that ends a document. Each token takes one number
    from `rng`, however many are drawn; none where the likeliest is taken.
    """
    session, sampler = Session(packed), None
    session.read(prompt[:-1])
    token = int(prompt[-1])
    if not sampling.plain:
        sampler = sampling.sampler(packed.vocab_size, never=never, eos=eos)
        sampler.read(prompt)
    at_a_time = FEWEST_AT_A_TIME
    while length > 0:
        before = rng.bit_generator.state
        number = min(at_a_time, length)
        u = np.zeros(number) if sampling.greedy else rng.random(number)
        began = perf_counter()
        try:
            drawn = session.generate(
                token, u, sampling.temperature or 1.0, -1 if never is None else never, sampler=sampler
            ).tolist()
        except ValueError as error:
            raise TextgruError(NOTHING_LEFT if sampling.banned else NOT_FINITE) from error
        if perf_counter() - began < LONGEST_AT_A_TIME / 2:
            at_a_time *= 2
        used = 0
        try:
            for token in drawn:
                used += 1
                yield token
        finally:
            if used < len(drawn) and not sampling.greedy:
                # It ends early: numbers that no token took, which the clock chose, go back.
                rng.bit_generator.state = before
                rng.random(used)
        length -= len(drawn)


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
    drawn = draw_tokens(packed, tokens, length, sampling, rng, never=tokenizer.unk_id, eos=tokenizer.eos_id)
    with closing(drawn):
        for token in drawn:
            if token == tokenizer.eos_id:
                return
            if piece := decoder.feed(token):
                yield piece
