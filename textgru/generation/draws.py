"""Tokens drawn for several texts side by side, each the same as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from textgru.core import PackedNetwork, Sampler, Session
from textgru.errors import TextgruError
from textgru.generation.sampling import NOT_FINITE, NOTHING_LEFT, Sampling

FEWEST_AT_A_TIME, LONGEST_AT_A_TIME = 16, 0.01  # tokens, seconds: drawn in one call; more tokens while it is shorter

Arrays = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Memory:
    """What sampling controls remember of a text: its last tokens, how many were drawn, and mirostat's bound, in bits,
    or None at the beginning."""

    tokens: Sequence[int] | np.ndarray
    drawn: int = 0
    mu: float | None = None


@dataclass
class Row:
    """A text that tokens are drawn for.

    `state`: a tuple of arrays (L, 1, H), the network's state after all its tokens but the last; `token`: the last one,
    which is not read yet; `rng`: its own random numbers; `memory`: of its tokens, for the controls that look back.
    """

    state: Arrays
    token: int
    rng: np.random.Generator
    memory: Memory = Memory(())
    drawn: list[int] = field(default_factory=list)  # in the last call
    _before: tuple[Arrays, int, Memory, Any] | None = None  # the same before those were drawn, and the random state


class Draws:
    """Draws tokens for rows that may come and go. What is drawn for a row depends on its state, its tokens and its
    random numbers alone: not on the other rows, the number of threads, or how many are drawn in a call.

    Each token takes one number from its row's `rng` (none where the likeliest is taken). The token `never`, where
    given, is not drawn; `eos` is the one that ends a document.
    """

    def __init__(
        self, packed: PackedNetwork, sampling: Sampling, *, never: int | None = None, eos: int | None = None
    ) -> None:
        self.packed, self.sampling, self.never, self.eos = packed, sampling, never, eos
        self._at_a_time = FEWEST_AT_A_TIME
        self._session: Session | None = None
        self._scorer: Session | None = None
        self._sampler: Sampler | None = None
        if not sampling.plain:
            self._sampler = sampling.sampler(packed.vocab_size, never=never, eos=eos)

    def draw(self, rows: Sequence[Row], most: int) -> int:
        """Draws up to `most` tokens for each row, as many as take a hundredth of a second, and returns how many.

        Raises TextgruError where the scores make no distribution.
        """
        n = min(self._at_a_time, most)
        session = self._session = self._holding(rows, self._session)
        for row in rows:
            row._before = (row.state, row.token, row.memory, row.rng.bit_generator.state)
        began = perf_counter()
        drawn = self._tokens(session, rows, n)
        if perf_counter() - began < LONGEST_AT_A_TIME / 2:
            self._at_a_time *= 2
        states = session.state
        for i, row in enumerate(rows):
            row.state = tuple(state[:, i : i + 1] for state in states)
            row.drawn = drawn[:, i].tolist()
            row.token = row.drawn[-1]
        return n

    def fewer(self) -> None:
        """Few tokens at a time again: texts turn out to be short."""
        self._at_a_time = FEWEST_AT_A_TIME

    def take_back(self, row: Row, used: int) -> None:
        """Makes a row what it was after the first `used` of the tokens that were drawn for it last."""
        if used < len(row.drawn):
            assert row._before is not None
            row.state, row.token, row.memory, row.rng.bit_generator.state = row._before
            row.drawn = row.drawn[:used]
            if used:
                session = self._holding([row], None)
                row.token = int(self._tokens(session, [row], used)[-1, 0])
                row.state = session.state

    def log_probabilities(self, rows: Sequence[Row]) -> np.ndarray:
        """The natural logarithms (n, B) of the network's probabilities for the tokens that were drawn last, in the
        softmax of all its scores, without any sampling control."""
        befores = [row._before for row in rows if row._before is not None]
        before = [Row(state, token, rows[0].rng, memory) for state, token, memory, _ in befores]
        self._scorer = self._holding(before, self._scorer)
        targets = np.array([row.drawn for row in rows], np.intp).T.copy()
        tokens = np.concatenate([np.array([[row.token for row in before]], np.intp), targets[:-1]])
        losses: np.ndarray = -self._scorer.losses(tokens, targets)
        return losses

    def _holding(self, rows: Sequence[Row], session: Session | None) -> Session:
        """A session of these rows, in their states: the one that there is, where it has as many."""
        if session is None or session.rows != len(rows):
            session = Session(self.packed, len(rows))
        session.state = tuple(
            np.ascontiguousarray(np.concatenate(parts, axis=1))
            for parts in zip(*(row.state for row in rows), strict=True)
        )
        return session

    def _tokens(self, session: Session, rows: Sequence[Row], n: int) -> np.ndarray:
        """n tokens (n, B) for each row of the session, which reads all but the last."""
        tokens = np.array([row.token for row in rows], np.intp)
        u = np.zeros((n, len(rows)))
        if not self.sampling.greedy:
            u = np.ascontiguousarray(np.stack([row.rng.random(n) for row in rows], axis=1))
        sampler = self._remembering(rows)
        never = -1 if self.never is None else self.never
        try:
            drawn = session.generate(tokens, u, self.sampling.temperature or 1.0, never, sampler=sampler)
        except ValueError as error:
            raise TextgruError(NOTHING_LEFT if self.sampling.banned else NOT_FINITE) from error
        if sampler is not None:
            for i, row in enumerate(rows):
                row.memory = Memory(*sampler.memory(i))
        return drawn

    def _remembering(self, rows: Sequence[Row]) -> Sampler | None:
        """What applies the controls to these rows; None where there are none."""
        if self._sampler is None:
            return None
        if self._sampler.rows != len(rows):
            self._sampler = self.sampling.sampler(self.packed.vocab_size, len(rows), never=self.never, eos=self.eos)
        for i, row in enumerate(rows):
            memory = row.memory
            self._sampler.set_memory(i, np.asarray(memory.tokens, np.intp), memory.drawn, memory.mu)
        return self._sampler


def read_prompt(packed: PackedNetwork, tokens: np.ndarray, state: Arrays | None = None) -> Arrays:
    """The state, arrays (L, 1, H), after all of the tokens (n,) intp but the last; before them it was `state`, or
    zeros."""
    session = Session(packed)
    if state is not None:
        session.state = tuple(np.ascontiguousarray(array) for array in state)
    session.read(tokens[:-1])
    return session.state


def draw_tokens(
    packed: PackedNetwork,
    prompt: np.ndarray,
    length: int,
    sampling: Sampling,
    rng: np.random.Generator,
    *,
    never: int | None = None,
    eos: int | None = None,
) -> Iterator[int]:
    """Yields `length` tokens drawn one after another, following the tokens (n,) intp of the prompt, n at least 1.

    Where it is closed early, `rng` is left as after the tokens that were yielded.
    """
    draws = Draws(packed, sampling, never=never, eos=eos)
    row = Row(read_prompt(packed, prompt), int(prompt[-1]), rng, Memory(prompt.tolist()))
    while length > 0:
        length -= draws.draw([row], length)
        used = 0
        try:
            for token in row.drawn:
                used += 1
                yield token
        finally:
            draws.take_back(row, used)
