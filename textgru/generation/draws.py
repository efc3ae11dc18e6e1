"""Tokens drawn for several texts side by side, each the same as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from textgru.core import PackedNetwork, Session
from textgru.errors import TextgruError
from textgru.generation.sampling import Sampling

FEWEST_AT_A_TIME, LONGEST_AT_A_TIME = 16, 0.01  # tokens, seconds: drawn in one call; more tokens while it is shorter

Arrays = tuple[np.ndarray, ...]


@dataclass
class Row:
    """A text that tokens are drawn for.

    `state`: a tuple of arrays (L, 1, H), the network's state after all its tokens but the last; `token`: the last one,
    which is not read yet; `rng`: its own random numbers.
    """

    state: Arrays
    token: int
    rng: np.random.Generator
    drawn: list[int] = field(default_factory=list)  # in the last call
    _before: tuple[Arrays, int, Any] | None = None  # state, token and random state before those were drawn


class Draws:
    """Draws tokens for rows that may come and go. What is drawn for a row depends on its state, its last token and its
    random numbers alone: not on the other rows, the number of threads, or how many are drawn in a call.

    Each token takes one number from its row's `rng` (none where the likeliest is taken). The token `never`, where
    given, is not drawn.
    """

    def __init__(self, packed: PackedNetwork, sampling: Sampling, *, never: int | None = None) -> None:
        self.packed, self.sampling, self.never = packed, sampling, never
        self._at_a_time = FEWEST_AT_A_TIME
        self._session: Session | None = None
        self._scorer: Session | None = None

    def draw(self, rows: Sequence[Row], most: int) -> int:
        """Draws up to `most` tokens for each row, as many as take a hundredth of a second, and returns how many.

        Raises TextgruError where the scores make no distribution.
        """
        n = min(self._at_a_time, most)
        session = self._session = self._holding(rows, self._session)
        for row in rows:
            row._before = (row.state, row.token, row.rng.bit_generator.state)
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
            row.state, row.token, row.rng.bit_generator.state = row._before
            row.drawn = row.drawn[:used]
            if used:
                session = self._holding([row], None)
                row.token = int(self._tokens(session, [row], used)[-1, 0])
                row.state = session.state

    def log_probabilities(self, rows: Sequence[Row]) -> np.ndarray:
        """The natural logarithms (n, B) of the network's probabilities for the tokens that were drawn last, in the
        softmax of all its scores, without any sampling control."""
        befores = [row._before for row in rows if row._before is not None]
        self._scorer = self._holding([Row(state, token, rows[0].rng) for state, token, _ in befores], self._scorer)
        targets = np.array([row.drawn for row in rows], np.intp).T.copy()
        tokens = np.concatenate([np.array([[token for _, token, _ in befores]], np.intp), targets[:-1]])
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
        if self.sampling.plain:
            u = np.ascontiguousarray(np.stack([row.rng.random(n) for row in rows], axis=1))
            never = -1 if self.never is None else self.never
            try:
                return session.generate(tokens, u, self.sampling.temperature, never)
            except ValueError as error:
                raise TextgruError("the model gives no finite scores to draw from: its weights are damaged") from error
        drawn = np.empty((n, len(rows)), np.intp)
        for step in range(n):
            session.step(tokens)
            if self.never is not None:
                session.logits[:, self.never] = -np.inf
            for i, row in enumerate(rows):
                tokens[i] = self.sampling.draw(session.logits[i], row.rng)
            drawn[step] = tokens
        return drawn


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
) -> Iterator[int]:
    """Yields `length` tokens drawn one after another, following the tokens (n,) intp of the prompt, n at least 1.

    Where it is closed early, `rng` is left as after the tokens that were yielded.
    """
    draws = Draws(packed, sampling, never=never)
    row = Row(read_prompt(packed, prompt), int(prompt[-1]), rng)
    while length > 0:
        length -= draws.draw([row], length)
        used = 0
        try:
            for token in row.drawn:
                used += 1
                yield token
        finally:
            draws.take_back(row, used)
